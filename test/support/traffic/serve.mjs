// The server half of an actor: HTTP, TCP and UDP on any number of ports.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { isIPv6, plain } from './address.mjs';
import { dnsOverTcp, dnsOverUdp } from './dns.mjs';

/** { port, server, connections } of each listening socket. */
const listening = [];

/** Answers ask the client to leave: nobody is cut off in the middle of a kept connection when this process ends. */
let draining = false;

export function drain() {
  draining = true;
}

function witness(who, socket) {
  return {
    who,
    client: plain(socket.remoteAddress),
    clientPort: socket.remotePort,
    server: plain(socket.localAddress),
    serverPort: socket.localPort,
  };
}

async function stream(response, ms, every) {
  for (let passed = 0; passed < ms && !response.destroyed; passed += every) {
    response.write('.');
    await delay(every);
  }
  response.end();
}

function answerHttp(who, delayMs) {
  return async (request, response) => {
    const url = new URL(request.url, 'http://actor');
    const number = (name, otherwise) => Number(url.searchParams.get(name) ?? otherwise);
    const seen = witness(who, request.socket);
    for (const [name, value] of Object.entries(seen)) response.setHeader(`x-${name.toLowerCase()}`, value ?? '');
    if (draining) response.setHeader('connection', 'close');
    if (delayMs > 0) await delay(delayMs);
    if (url.pathname === '/slow') await delay(number('ms', 100));
    if (url.pathname === '/stream') return stream(response, number('ms', 1000), number('every', 100));
    if (url.pathname === '/bytes') return response.end(Buffer.alloc(number('n', 1024), 'x'));
    response.setHeader('content-type', 'application/json');
    response.end(`${JSON.stringify(seen)}\n`);
  };
}

function answerTcp(who, delayMs) {
  return async (socket) => {
    socket.on('error', () => {}); // the client may reset it at any time
    if (delayMs > 0) await delay(delayMs);
    socket.write(`${JSON.stringify(witness(who, socket))}\n`);
    socket.pipe(socket);
  };
}

function track(server) {
  const connections = new Set();
  server.on('connection', (socket) => {
    connections.add(socket);
    socket.on('close', () => connections.delete(socket));
  });
  return connections;
}

async function listenStream(server, host, port) {
  const connections = track(server);
  server.listen({ host, port, ipv6Only: true, backlog: 1024 });
  await once(server, 'listening');
  listening.push({ port, server, connections });
}

function echoUdp(who, delayMs, type, host, port) {
  const socket = createSocket(type);
  socket.on('message', async (message, from) => {
    if (delayMs > 0) await delay(delayMs);
    const seen = {
      who,
      client: plain(from.address),
      clientPort: from.port,
      server: host,
      serverPort: port,
      bytes: message.length,
    };
    socket.send(JSON.stringify(seen), from.port, from.address, () => {});
  });
  return socket;
}

async function listenUdp(make, host, port) {
  const socket = make({ type: isIPv6(host) ? 'udp6' : 'udp4', ipv6Only: isIPv6(host) });
  socket.bind({ address: host, port });
  await once(socket, 'listening');
  listening.push({ port, server: socket, connections: new Set() });
}

export async function serve({
  who,
  http = [],
  tcp = [],
  udp = [],
  dns = [],
  addresses = ['0.0.0.0', '::'],
  delayMs = 0,
}) {
  for (const host of addresses) {
    for (const port of http) {
      const server = createHttpServer({ keepAliveTimeout: 600_000 }, answerHttp(who, delayMs));
      await listenStream(server, host, port);
    }
    for (const port of tcp) await listenStream(createTcpServer(answerTcp(who, delayMs)), host, port);
    for (const port of udp) await listenUdp((type) => echoUdp(who, delayMs, type, host, port), host, port);
    for (const port of dns) {
      await listenUdp((type) => dnsOverUdp(who, type), host, port);
      await listenStream(dnsOverTcp(who), host, port);
    }
  }
}

export function unserve({ ports, connections = false }) {
  const wanted = (entry) => ports === undefined || ports.includes(entry.port);
  for (const entry of listening.filter(wanted)) {
    entry.server.close();
    if (connections) for (const socket of entry.connections) socket.destroy();
  }
  const rest = listening.filter((entry) => !wanted(entry));
  listening.splice(0, listening.length, ...rest);
}

export function openConnections() {
  return listening.reduce((sum, { connections }) => sum + connections.size, 0);
}
