// The client half of an actor: one attempt, or a conversation that stays open.
import { createSocket } from 'node:dgram';
import { Agent, get } from 'node:http';
import { connect } from 'node:net';
import { isIPv6, plain } from './address.mjs';

const keepAliveAgent = new Agent({ keepAlive: true, maxSockets: 1024 });
const TIMEOUT_MS = 2000;

/** A Probe of what `begin(finish)` does; `finish(errno | undefined, facts)` may be called more than once. */
function probe(timeoutMs, begin) {
  return new Promise((resolve) => {
    const start = performance.now();
    let end = () => {};
    let settled = false;
    const finish = (errno, facts = {}) => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      const ms = Math.round((performance.now() - start) * 1000) / 1000;
      resolve({ ok: errno === undefined, errno, ms, ...facts });
      if (errno !== undefined) end();
    };
    const timer = setTimeout(() => finish('ETIMEDOUT'), timeoutMs);
    end = begin(finish);
  });
}

const errnoOf = (error) => error.code ?? error.message;

function witnessed(seen) {
  return {
    who: seen.who,
    seenSource: seen.client,
    seenPort: Number(seen.clientPort),
    serverAddress: seen.server,
    serverPort: Number(seen.serverPort),
  };
}

function ends(socket) {
  return {
    localAddress: plain(socket.localAddress),
    localPort: socket.localPort,
    peerAddress: plain(socket.remoteAddress),
    peerPort: socket.remotePort,
  };
}

const HEADERS = ['who', 'client', 'clientPort', 'server', 'serverPort'];

export function dialHttp({
  address,
  port,
  path = '/',
  timeoutMs = TIMEOUT_MS,
  keepAlive = false,
  localPort,
  localAddress,
}) {
  return probe(timeoutMs, (finish) => {
    const agent = keepAlive ? keepAliveAgent : false;
    const family = isIPv6(address) ? 6 : 4;
    const request = get({ host: address, port, path, agent, family, localPort, localAddress }, (response) => {
      const seen = Object.fromEntries(HEADERS.map((name) => [name, response.headers[`x-${name.toLowerCase()}`]]));
      const facts = { ...witnessed(seen), ...ends(response.socket), status: response.statusCode };
      let bytes = 0;
      response.on('data', (chunk) => {
        bytes += chunk.length;
      });
      response.on('error', (error) => finish(errnoOf(error), facts));
      response.on('end', () =>
        finish(response.statusCode < 400 ? undefined : `HTTP${response.statusCode}`, { ...facts, bytes }),
      );
    });
    request.on('error', (error) => finish(errnoOf(error)));
    return () => request.destroy();
  });
}

/** Connects and reads the greeting. @returns [probe, the socket when it is ok] */
async function greet({ address, port, timeoutMs = TIMEOUT_MS, localPort, localAddress }) {
  const socket = connect({ host: address, port, localPort, localAddress, family: isIPv6(address) ? 6 : 4 });
  const result = await probe(timeoutMs, (finish) => {
    let text = '';
    socket.on('error', (error) => finish(errnoOf(error)));
    socket.on('end', () => finish('EOF'));
    socket.on('data', function greeting(chunk) {
      text += chunk;
      if (!text.endsWith('\n')) return;
      socket.off('data', greeting);
      finish(undefined, { ...witnessed(JSON.parse(text)), ...ends(socket) });
    });
    return () => socket.destroy();
  });
  return [result, socket];
}

export async function dialTcp(options) {
  const [result, socket] = await greet(options);
  socket.destroy();
  return result;
}

async function openUdp({ address, port, connected = true, localPort, localAddress }) {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  socket.on('error', () => {});
  try {
    if (localPort !== undefined || localAddress !== undefined) {
      await new Promise((resolve, reject) => {
        socket.once('error', reject);
        socket.bind({ port: localPort, address: localAddress }, resolve);
      });
    }
    if (connected) {
      await new Promise((resolve, reject) => {
        socket.connect(port, address, (error) => (error ? reject(error) : resolve()));
      });
    }
  } catch (error) {
    socket.close();
    throw error;
  }
  const send = (message, done) => (connected ? socket.send(message, done) : socket.send(message, port, address, done));
  return { socket, send, connected };
}

function udpEnds({ socket, connected }) {
  const local = socket.address();
  const peer = connected ? socket.remoteAddress() : undefined;
  return {
    localAddress: plain(local.address),
    localPort: local.port,
    peerAddress: plain(peer?.address),
    peerPort: peer?.port,
  };
}

async function exchangeUdp(conversation, { bytes = 16, timeoutMs = TIMEOUT_MS }) {
  const { socket, send } = conversation;
  let onMessage;
  let onError;
  const result = await probe(timeoutMs, (finish) => {
    onMessage = (message, from) => {
      const seen = JSON.parse(message);
      const answerer = { peerAddress: plain(from.address), peerPort: from.port };
      finish(undefined, { ...witnessed(seen), ...udpEnds(conversation), ...answerer, bytes: seen.bytes });
    };
    onError = (error) => finish(errnoOf(error));
    socket.on('message', onMessage).on('error', onError);
    send(Buffer.alloc(bytes, 'x'), (error) => error && finish(errnoOf(error)));
    return () => {};
  });
  socket.off('message', onMessage).off('error', onError);
  return result;
}

export async function dialUdp(options) {
  const start = performance.now();
  let conversation;
  try {
    conversation = await openUdp(options);
  } catch (error) {
    return { ok: false, errno: errnoOf(error), ms: performance.now() - start };
  }
  const result = await exchangeUdp(conversation, options);
  conversation.socket.close();
  return result;
}

/** Conversations that stay open, by handle: { exchange(options), close() }. */
const conversations = new Map();
let nextHandle = 1;

function exchangeTcp(socket, { bytes = 16, timeoutMs = TIMEOUT_MS }) {
  return probe(timeoutMs, (finish) => {
    let left = bytes;
    const onData = (chunk) => {
      left -= chunk.length;
      if (left <= 0) done(undefined, { bytes, ...ends(socket) });
    };
    const onError = (error) => done(errnoOf(error));
    const onEnd = () => done('EOF');
    function done(errno, facts) {
      socket.off('data', onData).off('error', onError).off('close', onEnd);
      finish(errno, facts);
    }
    if (socket.destroyed) return finish(socket.lastErrno ?? 'EOF');
    socket.on('data', onData).on('error', onError).on('close', onEnd);
    socket.write(Buffer.alloc(bytes, 'x'));
    return () => socket.off('data', onData).off('error', onError).off('close', onEnd);
  });
}

export async function open(options) {
  const handle = nextHandle++;
  if (options.protocol === 'udp') {
    const conversation = await openUdp(options);
    conversations.set(handle, {
      socket: conversation.socket,
      exchange: (args) => exchangeUdp(conversation, args),
      close: () => conversation.socket.close(),
    });
    return { handle, probe: { ok: true, ms: 0, ...(options.connected === false ? {} : udpEnds(conversation)) } };
  }
  const [result, socket] = await greet(options);
  socket.on('error', (error) => {
    socket.lastErrno = errnoOf(error);
  });
  conversations.set(handle, { exchange: (args) => exchangeTcp(socket, args), close: () => socket.destroy() });
  return { handle, probe: result };
}

export function exchange({ handle, ...args }) {
  return conversations.get(handle).exchange(args);
}

/** Connects the same UDP socket elsewhere. */
export async function reconnect({ handle, address, port }) {
  const { socket } = conversations.get(handle);
  socket.disconnect();
  await new Promise((resolve, reject) => {
    socket.connect(port, address, (error) => (error ? reject(error) : resolve()));
  });
}

export function closeHandle({ handle }) {
  conversations.get(handle)?.close();
  conversations.delete(handle);
}
