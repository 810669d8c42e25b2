// A small DNS server and client: A, AAAA and TXT, over UDP and TCP, from a table of names.
import { createSocket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { createServer } from 'node:net';
import { isIPv6 } from './address.mjs';

const TYPES = { 1: 'A', 16: 'TXT', 28: 'AAAA' };
const TTL_SECONDS = 5;

/** Name (lower case) → addresses of either family. */
let zone = {};

export function setZone(table) {
  zone = table;
}

/** The first question of a query. */
function parseQuestion(message) {
  const labels = [];
  let at = 12;
  while (message[at] !== 0) {
    labels.push(message.toString('latin1', at + 1, at + 1 + message[at]));
    at += 1 + message[at];
  }
  return { name: labels.join('.').toLowerCase(), type: TYPES[message.readUInt16BE(at + 1)], end: at + 5 };
}

function addressBytes(address) {
  if (!isIPv6(address)) return Buffer.from(address.split('.').map(Number));
  const [head, tail] = address.split('::').map((part) => part.split(':').filter((word) => word !== ''));
  const words = tail === undefined ? head : [...head, ...Array(8 - head.length - tail.length).fill('0'), ...tail];
  return Buffer.from(words.map((word) => word.padStart(4, '0')).join(''), 'hex');
}

function recordData(who, { name, type }) {
  if (type === 'TXT') return name === 'who.answers' ? [Buffer.from([who.length, ...Buffer.from(who)])] : [];
  const wanted = (address) => isIPv6(address) === (type === 'AAAA');
  return type === undefined ? [] : (zone[name] ?? []).filter(wanted).map(addressBytes);
}

/** The answer to a query: NXDOMAIN for a name that the table does not have. */
export function answer(who, query) {
  const question = parseQuestion(query);
  const data = recordData(who, question);
  const known = data.length > 0 || question.name in zone;
  const header = Buffer.from(query.subarray(0, 12));
  header.writeUInt16BE(known ? 0x8580 : 0x8583, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(data.length, 6);
  header.writeUInt32BE(0, 8);
  const records = data.map((bytes) => {
    const record = Buffer.alloc(12);
    record.writeUInt16BE(0xc00c, 0); // the name of the question
    query.copy(record, 2, question.end - 4, question.end); // its type and class
    record.writeUInt32BE(TTL_SECONDS, 6);
    record.writeUInt16BE(bytes.length, 10);
    return Buffer.concat([record, bytes]);
  });
  return Buffer.concat([header, query.subarray(12, question.end), ...records]);
}

export function dnsOverUdp(who, type) {
  const socket = createSocket(type);
  socket.on('message', (query, from) => socket.send(answer(who, query), from.port, from.address, () => {}));
  return socket;
}

export function dnsOverTcp(who) {
  return createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (message) => {
      const reply = answer(who, message.subarray(2));
      const length = Buffer.alloc(2);
      length.writeUInt16BE(reply.length);
      socket.write(Buffer.concat([length, reply]));
    });
  });
}

/** Asks one server. @returns addresses of the family (or TXT strings) and how long it took */
export async function resolve({ server, name, type = 'A', timeoutMs = 2000 }) {
  const resolver = new Resolver({ timeout: timeoutMs, tries: 1 });
  resolver.setServers([server]);
  const start = performance.now();
  try {
    const records = await resolver.resolve(name, type);
    return { ok: true, ms: performance.now() - start, records: records.flat() };
  } catch (error) {
    return { ok: false, errno: error.code, ms: performance.now() - start, records: [] };
  }
}
