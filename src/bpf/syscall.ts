/**
 * bpf(2). `union bpf_attr` is written by hand: each function names the fields as linux/bpf.h does,
 * at their byte offsets. Functions return a negative errno as libbpf's do, and never throw.
 */
import { seam } from '../model/seam.ts';
import { addressOf, close as closeFd, errno, syscall3 } from './ffi.ts';

const SYS_BPF: Record<string, number> = { x64: 321, arm64: 280, riscv64: 280, s390x: 351, ppc64: 361, loong64: 280 };
/** Number of the system call. */
export const BPF = SYS_BPF[process.arch] ?? 280;

/** enum bpf_cmd. */
export const Command = {
  MAP_CREATE: 0,
  MAP_LOOKUP_ELEM: 1,
  MAP_UPDATE_ELEM: 2,
  MAP_DELETE_ELEM: 3,
  MAP_GET_NEXT_KEY: 4,
  PROG_LOAD: 5,
  OBJ_PIN: 6,
  OBJ_GET: 7,
  PROG_TEST_RUN: 10,
  PROG_GET_FD_BY_ID: 13,
  MAP_GET_FD_BY_ID: 14,
  OBJ_GET_INFO_BY_FD: 15,
  PROG_QUERY: 16,
  MAP_LOOKUP_BATCH: 24,
  MAP_UPDATE_BATCH: 26,
  MAP_DELETE_BATCH: 27,
  LINK_CREATE: 28,
  LINK_UPDATE: 29,
  LINK_DETACH: 34,
} as const;

/** Bytes of the attr buffers: more than any command used here needs; the rest is zero. */
export const ATTR_SIZE = 120;

/** `BPF_MAP_UPDATE_ELEM` for 2. */
export const commandName = (command: number): string =>
  `BPF_${Object.entries(Command).find(([, number]) => number === command)?.[0] ?? command}`;

/** @returns what the kernel returns (a descriptor, or 0), or a negative errno. */
export function bpf(command: number, attr: Buffer): number {
  if (seam.fault !== undefined) {
    const fault = seam.fault(commandName(command));
    if (fault !== 0) return -fault;
  }
  const result = syscall3(BPF, command, attr, attr.length);
  return result < 0 ? -errno() : result;
}

/** @returns a zeroed attr. */
export function newAttr(): Buffer {
  return Buffer.alloc(ATTR_SIZE);
}

/** Buffers that an attr points to, by offset: they must not be collected while the kernel may use them. */
const held = Symbol('held');
type Attr = Buffer & { [held]?: Map<number, Buffer> };

/** Writes the address of a buffer, which then lives as long as the attr. */
export function putPointer(attr: Attr, offset: number, target: Buffer): void {
  attr[held] ??= new Map();
  attr[held].set(offset, target);
  attr.writeBigUInt64LE(addressOf(target), offset);
}

/** Text with its zero byte, as C wants it. */
export function cString(text: string): Buffer {
  return Buffer.from(`${text}\0`);
}

/** Closes a descriptor of bpf(2). */
export function close(fd: number): void {
  closeFd(fd);
}
