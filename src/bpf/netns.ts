/** The network namespace of this process, as BPF programs see it. */
import { close, getsockopt, socket } from './ffi.ts';

const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const SOL_SOCKET = 1;
const SO_NETNS_COOKIE = 71;

/** @returns the namespace's cookie, or 0n when the kernel cannot say (before 5.14). */
export function netnsCookie(): bigint {
  const fd = socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0);
  if (fd < 0) return 0n;
  const value = Buffer.alloc(8);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(8);
  const result = getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, value, length);
  close(fd);
  return result === 0 ? value.readBigUInt64LE() : 0n;
}
