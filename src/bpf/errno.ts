/** Names of error numbers, and the SluiceError that each kind of failure becomes. */
import { constants } from 'node:os';
import { type ErrorCode, SluiceError } from '../model/errors.ts';

const { errno } = constants;
export const {
  EPERM,
  ENOENT,
  EINTR,
  EBADF,
  EACCES,
  EEXIST,
  ENODEV,
  EINVAL,
  ENOSPC,
  EAGAIN,
  E2BIG,
  ENOMEM,
  ENOLINK,
  EOPNOTSUPP,
  EBUSY,
  ERANGE,
} = errno;
/** Of the kernel's own: never meant for user space, yet returned by bpf(2). */
export const ENOTSUPP = 524;

const NAMES = new Map<number, string>([
  ...Object.entries(errno).map(([name, n]): [number, string] => [n, name]),
  [ENOTSUPP, 'ENOTSUPP'],
]);

/** @returns e.g. `EINVAL`, or the number where it has no name. */
export function errnoName(number: number): string {
  return NAMES.get(number) ?? `errno ${number}`;
}

/** The call failed, with its errno: the cause of a SluiceError. */
export class KernelError extends Error {
  readonly errno: number;

  constructor(call: string, number: number) {
    super(`${call}: ${errnoName(number)}`);
    this.name = 'KernelError';
    this.errno = number;
  }
}

/** What an unprivileged caller is told. */
export const PRIVILEGE_HINT = 'run as root, or with the capabilities CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON';

/**
 * @param code used unless the errno says that privileges are missing.
 * @param action verb and object, e.g. `update map frontends`.
 * @param call the system call that failed, e.g. `BPF_MAP_UPDATE_ELEM`.
 */
export function kernelError(code: ErrorCode, action: string, call: string, number: number): SluiceError {
  const cause = new KernelError(call, number);
  if (number === EPERM || number === EACCES) {
    return new SluiceError('PERMISSION', `${action}: ${errnoName(number)}; ${PRIVILEGE_HINT}`, { cause });
  }
  return new SluiceError(code, `${action}: ${cause.message}`, { cause });
}

/** @returns errno of the kernel call behind an error, or undefined when it has another cause. */
export function causeErrno(error: unknown): number | undefined {
  if (error instanceof KernelError) return error.errno;
  return error instanceof Error && error.cause !== undefined ? causeErrno(error.cause) : undefined;
}

/** What another try may not meet: memory that is short now, a call that was interrupted, an object in use. */
const TRANSIENT: ReadonlySet<number | undefined> = new Set([ENOMEM, EAGAIN, EINTR, EBUSY]);

/** Did a call of the kernel fail for a reason that may be gone soon? */
export function isTransient(error: unknown): boolean {
  return TRANSIENT.has(causeErrno(error));
}
