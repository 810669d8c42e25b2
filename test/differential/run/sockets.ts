/** connect() in this process: where the kernel really points the socket, whatever getpeername says. */
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import koffi from 'koffi';
import { readAddress, writeAddress } from '../../../src/model/address.ts';
import { familyNumber } from '../world.ts';

const libc = koffi.load('libc.so.6');
const socket = libc.func('int socket(int, int, int)');
const connect = libc.func('int connect(int fd, void *address, uint length)');
const close = libc.func('int close(int fd)');
const getsockname = libc.func('int getsockname(int fd, void *address, void *length)');

const AF_INET = 2;
const AF_INET6 = 10;
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

/** The remote end of the socket with this local port, from /proc/net: `rem_address` in words of host order. */
function peerOf(table: string, localPort: number, v4: boolean): { address: string; port: number } | undefined {
  const port = localPort.toString(16).toUpperCase().padStart(4, '0');
  for (const line of readFileSync(`/proc/thread-self/net/${table}`, 'utf8').split('\n')) {
    const [, local = '', remote = ''] = line.trim().split(/\s+/);
    if (!local.endsWith(`:${port}`) || remote.endsWith(':0000')) continue;
    const [hex = '', remotePort = ''] = remote.split(':');
    const words = Buffer.from(hex, 'hex');
    words.swap32();
    const bytes = v4 ? Buffer.concat([Buffer.alloc(10), Buffer.from([0xff, 0xff]), words]) : words;
    return { address: readAddress(bytes, 0), port: Number.parseInt(remotePort, 16) };
  }
  return undefined;
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
    const name = Buffer.alloc(28);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(name.length);
    getsockname(fd, name, length);
    const peer = peerOf(`${protocol.toLowerCase()}${v4 ? '' : '6'}`, name.readUInt16BE(2), v4);
    return peer && { refused: false, ...peer };
  } finally {
    close(fd);
  }
}
