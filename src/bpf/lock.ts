/** One agent a state directory: a lock that ends with the process, however it ends. */
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { SluiceError } from '../model/errors.ts';
import { EAGAIN, kernelError } from './errno.ts';
import { errno, flock } from './ffi.ts';

const LOCK_EX_NB = 2 | 4;

export interface Lock {
  /** The file stays: removing it would let two agents lock two files. */
  release(): void;
}

/**
 * Locks a plain file (bpffs holds none) and writes the process id into it.
 * @throws SluiceError STATE_LOCKED that names the process which holds it, or CONFIG_INVALID when the file cannot be made.
 */
export function acquireLock(path: string): Lock {
  let fd: number;
  try {
    fd = openSync(path, 'a+', 0o600);
  } catch (cause) {
    throw new SluiceError('CONFIG_INVALID', `lock ${path}: ${(cause as Error).message}`, { cause });
  }
  if (flock(fd, LOCK_EX_NB) !== 0) {
    const failed = errno();
    const holder = readFileSync(path, 'utf8').trim();
    closeSync(fd);
    if (failed !== EAGAIN) throw kernelError('STATE_LOCKED', `lock ${path}`, 'flock', failed);
    throw new SluiceError(
      'STATE_LOCKED',
      `lock ${path}: process ${holder || 'unknown'} holds it; stop that agent, or choose another --bpf-root`,
    );
  }
  ftruncateSync(fd, 0);
  writeSync(fd, `${process.pid}\n`);
  return { release: () => closeSync(fd) };
}
