/**
 * Tells of each TCP packet that a device receives with a payload of a length: a line like
 * `10.0.0.1 80 > 10.0.0.2 40000` on standard output, with `wrong checksum` behind it where that is so, after a line
 * `ready`. A process of its own, in the namespace of the device; ends with its standard input. Arguments: ifindex,
 * length in bytes.
 */
import { openLibrary } from '../../../src/bpf/ffi.ts';
import { TCP } from '../packet/builder.ts';
import { parsePacket, tupleText } from '../packet/parser.ts';

const AF_PACKET = 17;
const SOCK_RAW = 3;
/** In network byte order. */
const ETH_P_ALL = 0x0300;
const MSG_DONTWAIT = 0x40;
/** Of struct sockaddr_ll: who the frame was for. */
const PACKET_TYPE_AT = 10;
const PACKET_OUTGOING = 4;
const POLL_MS = 5;

const [ifindex, length] = process.argv.slice(2).map(Number) as [number, number];
const libc = openLibrary('libc.so.6', 'apt-get install libc6');
const open = libc.call('int socket(int domain, int type, int protocol)');
const bind = libc.call('int bind(int fd, void *address, uint32_t length)');
const receive = libc.call(
  'int64_t recvfrom(int fd, void *data, uint64_t length, int flags, void *address, void *addressLength)',
);

const socket: number = open(AF_PACKET, SOCK_RAW, ETH_P_ALL);
const address = Buffer.alloc(20);
address.writeUInt16LE(AF_PACKET, 0);
address.writeUInt16LE(ETH_P_ALL, 2);
address.writeInt32LE(ifindex, 4);
if (socket < 0 || bind(socket, address, address.length) !== 0) throw new Error(`listen on device ${ifindex}: failed`);
process.stdout.write('ready\n');

const data = Buffer.alloc(65_536);
const from = Buffer.alloc(20);
const fromLength = Buffer.alloc(4);

/** @returns the next frame that came in, or undefined when there is none yet */
function next(): Buffer | undefined {
  for (;;) {
    fromLength.writeUInt32LE(from.length);
    const size = Number(receive(socket, data, data.length, MSG_DONTWAIT, from, fromLength));
    if (size < 0) return undefined;
    if (from[PACKET_TYPE_AT] !== PACKET_OUTGOING) return data.subarray(0, size);
  }
}

setInterval(() => {
  for (let frame = next(); frame !== undefined; frame = next()) {
    const type = frame.length > 14 ? frame.readUInt16BE(12) : 0;
    if (type !== 0x0800 && type !== 0x86dd) continue;
    const packet = parsePacket(frame.subarray(14));
    if (packet.proto !== TCP || packet.l4.length - ((packet.l4[12] ?? 0) >> 4) * 4 !== length) continue;
    process.stdout.write(`${tupleText(packet)}${packet.wrong.length > 0 ? ' wrong checksum' : ''}\n`);
  }
}, POLL_MS);
process.stdin.on('end', () => process.exit()).resume();
