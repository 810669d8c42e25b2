/**
 * connect() in this process, and where the kernel really points the socket: it says so, for the program
 * that would show the address dialled in its place (getpeername) is not attached here.
 */
import { constants } from 'node:os';
import koffi from 'koffi';
import { readAddress, writeAddress } from '../../../src/model/address.ts';
import { familyNumber } from '../world.ts';

const libc = koffi.load('libc.so.6');
const socket = libc.func('int socket(int, int, int)');
const connect = libc.func('int connect(int fd, void *address, uint length)');
const close = libc.func('int close(int fd)');
const getsockopt = libc.func('int getsockopt(int fd, int level, int name, void *value, void *length)');

const AF_INET = 2;
const AF_INET6 = 10;
const SOL_SOCKET = 1;
/** Unlike getpeername(2) it answers while a connection is being made. */
const SO_PEERNAME = 28;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;

export type Connected =
  | { readonly refused: true }
  | { readonly refused: false; readonly address: string; readonly port: number };

function socketAddress(address: string, port: number): Buffer {
  const v4 = familyNumber(address) === 4;
  const bytes = Buffer.alloc(28);
  bytes.writeUInt16LE(v4 ? AF_INET : AF_INET6, 0);
  bytes.writeUInt16BE(port, 2);
  const whole = Buffer.alloc(16);
  writeAddress(whole, 0, address);
  if (v4) whole.copy(bytes, 4, 12);
  else whole.copy(bytes, 8);
  return bytes.subarray(0, v4 ? 16 : 28);
}

/** The remote end as the kernel has it. */
function peerOf(fd: number, v4: boolean): { address: string; port: number } | undefined {
  const name = Buffer.alloc(v4 ? 16 : 28);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(name.length);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERNAME, name, length) !== 0) return undefined;
  const mapped = Buffer.concat([Buffer.alloc(10), Buffer.from([0xff, 0xff]), name.subarray(4, 8)]);
  return { address: readAddress(v4 ? mapped : name.subarray(8, 24), 0), port: name.readUInt16BE(2) };
}

/**
 * @returns undefined when the connection is already over: a process of this node without a listener was reached.
 * @throws when the kernel refuses for another reason than ECONNREFUSED.
 */
export function dial(address: string, port: number, protocol: 'TCP' | 'UDP'): Connected | undefined {
  const v4 = familyNumber(address) === 4;
  const fd: number = socket(
    v4 ? AF_INET : AF_INET6,
    (protocol === 'TCP' ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK,
    0,
  );
  if (fd < 0) throw new Error(`socket: errno ${koffi.errno()}`);
  try {
    const to = socketAddress(address, port);
    const result: number = connect(fd, to, to.length);
    const errno = koffi.errno();
    if (result !== 0 && errno === constants.errno.ECONNREFUSED) return { refused: true };
    if (result !== 0 && errno !== constants.errno.EINPROGRESS)
      throw new Error(`connect ${address} ${port}: errno ${errno}`);
    const peer = peerOf(fd, v4);
    return peer && { refused: false, ...peer };
  } finally {
    close(fd);
  }
}
