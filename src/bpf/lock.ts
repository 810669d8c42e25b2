/** One agent a pin directory: a lock that ends with the process, however it ends, and leaves no file. */
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { SluiceError } from '../model/errors.ts';
import { EAGAIN, kernelError } from './errno.ts';
import { errno, flock } from './ffi.ts';

const LOCK_EX_NB = 2 | 4;
const LOCK_SH_NB = 1 | 4;

export interface Lock {
  release(): void;
}

/** @returns the id of the process that locked an inode, as /proc/locks has it; undefined when it does not say. */
function holderOf(inode: number): string | undefined {
  for (const line of readFileSync('/proc/locks', 'utf8').split('\n')) {
    // 1: FLOCK  ADVISORY  WRITE 1234 00:2a:56789 0 EOF
    const match = /FLOCK\s+ADVISORY\s+WRITE\s+(\d+)\s+[0-9a-f]+:[0-9a-f]+:(\d+)\s/.exec(line);
    if (match?.[2] === String(inode)) return match[1];
  }
  return undefined;
}

/**
 * Does a process hold the lock of a directory? A process that this one cannot see, in another PID namespace, is found
 * too: for that the lock is tried for a moment.
 * @returns undefined when the directory cannot be opened
 */
export function isLocked(directory: string): boolean | undefined {
  let fd: number;
  try {
    fd = openSync(directory, 'r');
  } catch {
    return undefined;
  }
  try {
    return holderOf(fstatSync(fd).ino) !== undefined || flock(fd, LOCK_SH_NB) !== 0;
  } finally {
    closeSync(fd);
  }
}

/**
 * Locks a directory, on bpffs too.
 * @param advice what helps when another process holds it
 * @throws SluiceError STATE_LOCKED that names the process which holds it, or CONFIG_INVALID when it cannot be opened.
 */
export function acquireLock(directory: string, advice = 'stop that agent, or choose another --bpf-root'): Lock {
  let fd: number;
  try {
    fd = openSync(directory, 'r');
  } catch (cause) {
    throw new SluiceError('CONFIG_INVALID', `lock ${directory}: ${(cause as Error).message}`, { cause });
  }
  if (flock(fd, LOCK_EX_NB) !== 0) {
    const failed = errno();
    const holder = holderOf(fstatSync(fd).ino);
    closeSync(fd);
    if (failed !== EAGAIN) throw kernelError('STATE_LOCKED', `lock ${directory}`, 'flock', failed);
    throw new SluiceError('STATE_LOCKED', `lock ${directory}: process ${holder ?? 'unknown'} holds it; ${advice}`);
  }
  return { release: () => closeSync(fd) };
}
