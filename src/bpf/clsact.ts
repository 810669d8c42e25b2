/**
 * Attaching to a device where the kernel has no tcx (before 6.6): a filter of the clsact qdisc, by
 * libbpf. Handle and priority are fixed, so that attaching again replaces atomically.
 */
import { EEXIST, EINVAL, ENODEV, ENOENT, kernelError } from './errno.ts';
import { libbpf } from './libbpf.ts';

export type Direction = 'ingress' | 'egress';

const ATTACH_POINT: Readonly<Record<Direction, number>> = { ingress: 1, egress: 2 };
const REPLACE = 1;
/** Ours: a filter with these numbers was made here. */
export const CLSACT_HANDLE = 1;
export const CLSACT_PRIORITY = 0x51c;

/** struct bpf_tc_hook: sz, ifindex, attach_point, parent. */
function hookOf(ifindex: number, point: number): Buffer {
  const hook = Buffer.alloc(24);
  hook.writeBigUInt64LE(BigInt(hook.length), 0);
  hook.writeInt32LE(ifindex, 8);
  hook.writeUInt32LE(point, 12);
  return hook;
}

/** struct bpf_tc_opts: sz, prog_fd, flags, prog_id, handle, priority. */
function optsOf(programFd: number, flags: number): Buffer {
  const opts = Buffer.alloc(32);
  opts.writeBigUInt64LE(BigInt(opts.length), 0);
  opts.writeInt32LE(programFd, 8);
  opts.writeUInt32LE(flags, 12);
  opts.writeUInt32LE(CLSACT_HANDLE, 20);
  opts.writeUInt32LE(CLSACT_PRIORITY, 24);
  return opts;
}

/**
 * Attaches, or replaces what we attached before.
 * @returns whether the qdisc had to be made.
 * @throws SluiceError ATTACH_FAILED or PERMISSION.
 */
export function attachClsact(options: { programFd: number; ifindex: number; device: string; direction: Direction }): {
  madeQdisc: boolean;
} {
  const { programFd, ifindex, device, direction } = options;
  const action = `attach clsact ${direction} to ${device}`;
  const made = libbpf().bpf_tc_hook_create(hookOf(ifindex, ATTACH_POINT[direction]));
  if (made < 0 && made !== -EEXIST)
    throw kernelError('ATTACH_FAILED', `${action}: make the qdisc`, 'bpf_tc_hook_create', -made);
  const attached = libbpf().bpf_tc_attach(hookOf(ifindex, ATTACH_POINT[direction]), optsOf(programFd, REPLACE));
  if (attached < 0) {
    if (made === 0) removeQdisc(ifindex);
    throw kernelError('ATTACH_FAILED', action, 'bpf_tc_attach', -attached);
  }
  return { madeQdisc: made === 0 };
}

/** Removes our filter; a filter or device that is gone already is no error. @throws SluiceError ATTACH_FAILED. */
export function detachClsact(options: { ifindex: number; device: string; direction: Direction }): void {
  const result = libbpf().bpf_tc_detach(hookOf(options.ifindex, ATTACH_POINT[options.direction]), optsOf(0, 0));
  if (result === 0 || result === -ENOENT || result === -ENODEV || result === -EINVAL) return;
  throw kernelError(
    'ATTACH_FAILED',
    `detach clsact ${options.direction} from ${options.device}`,
    'bpf_tc_detach',
    -result,
  );
}

/** Removes the whole clsact qdisc, with every filter in it. */
export function removeQdisc(ifindex: number): void {
  libbpf().bpf_tc_hook_destroy(hookOf(ifindex, ATTACH_POINT.ingress | ATTACH_POINT.egress));
}
