/** Kernels before 5.11 charge maps and programs to RLIMIT_MEMLOCK. */
import { setrlimit } from './ffi.ts';

const RLIMIT_MEMLOCK = 8;
const INFINITY = 2n ** 64n - 1n;

/** Lifts the limit; where that is not allowed, newer kernels need none. */
export function raiseMemlock(): void {
  const limit = Buffer.alloc(16);
  limit.writeBigUInt64LE(INFINITY, 0);
  limit.writeBigUInt64LE(INFINITY, 8);
  setrlimit(RLIMIT_MEMLOCK, limit);
}
