/**
 * Calls into C libraries: the only file that knows koffi. Pointers are untyped here, so a wrong
 * size crashes the process; every other file passes Buffers that it sized itself.
 */
import koffi from 'koffi';
import { SluiceError } from '../model/errors.ts';

/** Something C takes as an address: bytes of ours, an address it gave us, or NULL. */
export type Pointer = Buffer | bigint | null;
// biome-ignore lint/suspicious/noExplicitAny: the types of C functions are known only to their prototypes
export type CFunction = (...args: any[]) => any;

/** A shared library opened by name. */
export interface Library {
  /** @param prototype in C, with `void *` for buffers. @throws when the library has no such symbol. */
  readonly call: (prototype: string) => CFunction;
}

/**
 * @param name what the dynamic linker looks for, e.g. `libbpf.so.1`.
 * @throws SluiceError LIBBPF_MISSING with the package to install when it is not there.
 */
export function openLibrary(name: string, installCommand: string): Library {
  try {
    const library = koffi.load(name);
    return { call: (prototype) => library.func(prototype) };
  } catch (cause) {
    throw new SluiceError('LIBBPF_MISSING', `open ${name}: not found; install it with "${installCommand}"`, { cause });
  }
}

/** Calls a C function on a thread of its own: the event loop goes on meanwhile. errno is not kept. */
export function inBackground(call: CFunction, ...args: unknown[]): Promise<number> {
  const { async: start } = call as unknown as { async: (...args: unknown[]) => void };
  return new Promise((resolve, reject) => {
    start(...args, (error: Error | null, result: number) => (error ? reject(error) : resolve(result)));
  });
}

/** errno of the last C call. Read it at once: anything in between may change it. */
export function errno(): number {
  return koffi.errno();
}

/** What `errno()` says next. */
export function setErrno(number: number): void {
  koffi.errno(number);
}

/** Address of a buffer's first byte. It holds as long as the buffer is referenced. */
export function addressOf(buffer: Buffer): bigint {
  return BigInt(koffi.address(buffer));
}

/** Reads `length` bytes at an address, as a copy. */
export function readMemory(address: bigint, length: number): Buffer {
  return Buffer.from(Buffer.from(koffi.view(address, length)));
}

/** Reads text up to its zero byte; NULL is "". */
export function readCString(address: bigint | null): string {
  return address === null || address === 0n ? '' : koffi.decode.string(address);
}

/**
 * A C function that calls back into JavaScript, only while a C call of ours runs; from another
 * thread it waits for the event loop.
 * @returns its address and how to give it up.
 */
export function registerCallback(
  result: string,
  args: string[],
  callback: CFunction,
): { address: bigint; release: () => void } {
  const address = koffi.register(callback, koffi.pointer(koffi.proto(result, args)));
  return { address, release: () => koffi.unregister(address) };
}

const libc = koffi.load('libc.so.6');
const mmapFunction = libc.func('void *mmap(void *address, size_t length, int prot, int flags, int fd, long offset)');
const munmapFunction = libc.func('int munmap(void *address, size_t length)');

/** syscall(2) with the three arguments that bpf(2) takes. @returns -1 with errno set on failure. */
export const syscall3: (number: number, command: number, attr: Buffer, size: number) => number = libc.func(
  'long syscall(long number, int command, void *attr, uint size)',
);
/** flock(2). */
export const flock: (fd: number, operation: number) => number = libc.func('int flock(int fd, int operation)');
/** socket(2). */
export const socket: (domain: number, type: number, protocol: number) => number =
  libc.func('int socket(int, int, int)');
/** getsockopt(2); `length` is a 4-byte buffer, in and out. */
export const getsockopt: (fd: number, level: number, name: number, value: Buffer, length: Buffer) => number = libc.func(
  'int getsockopt(int fd, int level, int name, void *value, void *length)',
);
/** connect(2); `address` is a struct sockaddr. */
export const connect: (fd: number, address: Buffer, length: number) => number = libc.func(
  'int connect(int fd, const void *address, uint32_t length)',
);
const POLLOUT = 4;
const pollFunction = libc.func('int poll(void *fds, unsigned long count, int timeout)');
const pollFd = Buffer.alloc(8);

/** poll(2): does a write return at once, with bytes written or an error? A pipe then takes PIPE_BUF bytes. */
export function isWritable(fd: number): boolean {
  pollFd.writeInt32LE(fd, 0);
  pollFd.writeInt16LE(POLLOUT, 4);
  pollFd.writeInt16LE(0, 6);
  return pollFunction(pollFd, 1, 0) !== 0;
}

/** close(2). */
export const close: (fd: number) => number = libc.func('int close(int fd)');
/** malloc_trim(3): gives free memory back to the system. */
export const mallocTrim: (keep: number) => number = libc.func('int malloc_trim(size_t keep)');
const indexToName = libc.func('void *if_indextoname(uint index, void *name)');
const deviceName = Buffer.alloc(16);

/** Is there a device with this index in the network namespace of this process? */
export function deviceExists(ifindex: number): boolean {
  return indexToName(ifindex, deviceName) !== null;
}

/** setrlimit(2); `limit` is two u64. */
export const setrlimit: (resource: number, limit: Buffer) => number = libc.func(
  'int setrlimit(int resource, void *limit)',
);
/** vsnprintf(3) for a va_list that C handed to a callback. */
export const vsnprintf: (text: Buffer, size: number, format: bigint, args: bigint) => number = libc.func(
  'int vsnprintf(void *text, size_t size, void *format, void *args)',
);

const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;

/** Unmaps memory once nothing refers to its ArrayBuffer any more: no view can outlive its pages. */
const mappings = new FinalizationRegistry<{ address: bigint; length: number }>(({ address, length }) => {
  munmapFunction(address, length);
});

/**
 * Maps `length` bytes of a file descriptor, shared. The memory stays mapped as long as the buffer
 * is in use, also after the descriptor is closed. Writing to a read-only mapping ends the process.
 * @returns undefined with errno set on failure.
 */
export function mmapShared(fd: number, length: number, writable: boolean): Buffer | undefined {
  const address = mmapFunction(null, length, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
  if (address === null || BigInt.asIntN(64, BigInt(address)) === -1n) return undefined;
  const memory = koffi.view(address, length);
  mappings.register(memory, { address, length });
  return Buffer.from(memory);
}
