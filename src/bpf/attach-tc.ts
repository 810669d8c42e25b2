/** Attaches packet programs to a device: by a tcx link where the kernel has them, else by clsact. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmdirSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { attachClsact, type Direction, detachClsact, removeQdisc } from './clsact.ts';
import { type Attached, attachLink, linkDetach } from './link.ts';
import { withPin } from './object.ts';
import { listPins } from './paths.ts';
import { haveTcx, queryTcx, TCX_ATTACH_TYPES } from './tcx.ts';

export interface TcTarget {
  /** In the network namespace of this process. */
  readonly ifindex: number;
  /** The device's name, for messages. */
  readonly device: string;
  readonly direction: Direction;
  /** `linkPin(pinDirectory, linkName(device, direction))`. */
  readonly pin: string;
}

/**
 * Clsact filters cannot be pinned, so directories on bpffs say what is attached:
 * `clsact/<pin's name>/<ifindex>_<direction>`, and `qdiscs/<ifindex>` for a qdisc that is ours too.
 */
const recordOf = (pin: string) => join(dirname(dirname(pin)), 'clsact', basename(pin));
const qdiscRecordOf = (pin: string, ifindex: number) => join(dirname(dirname(pin)), 'qdiscs', String(ifindex));

/**
 * Attaches, updates what is pinned, or replaces it when its device is gone or another.
 * @param options.tcx false: clsact although the kernel has tcx.
 * @throws SluiceError ATTACH_FAILED or PERMISSION; what ran before goes on.
 */
export function attachTc(options: TcTarget & { programFd: number; tcx?: boolean }): Attached {
  const { programFd, ifindex, device, direction, pin } = options;
  if (options.tcx ?? haveTcx()) {
    const links = queryTcx(ifindex, direction);
    const result = attachLink({
      programFd,
      target: ifindex,
      attachType: TCX_ATTACH_TYPES[direction],
      pin,
      // An ifindex alone may be another namespace's: the link must be on this very device.
      fits: (info) => info.kind === 'tcx' && Array.isArray(links) && links.includes(info.id),
      action: `attach tcx ${direction} to ${device}`,
    });
    detachRecorded(pin);
    return result;
  }
  const entry = join(recordOf(pin), `${ifindex}_${direction}`);
  const known = existsSync(entry);
  const { madeQdisc } = attachClsact({ programFd, ifindex, device, direction });
  mkdirSync(entry, { recursive: true });
  if (madeQdisc) mkdirSync(qdiscRecordOf(pin, ifindex), { recursive: true });
  unpinLink(pin);
  return known ? 'updated' : 'created';
}

/** Detaches what `attachTc` attached under this pin, by either way; nothing attached is no error. */
export function detachTc(target: Pick<TcTarget, 'pin'>): void {
  unpinLink(target.pin);
  detachRecorded(target.pin);
}

/** Detaches a pinned link at once and unpins it. */
export function unpinLink(pin: string): void {
  withPin(pin, linkDetach);
  rmSync(pin, { force: true });
}

/** Detaches the clsact filters recorded for a pin, and their qdisc when it was ours and nobody uses it. */
function detachRecorded(pin: string): void {
  const record = recordOf(pin);
  for (const entry of listPins(record)) {
    const [index, direction] = entry.split('_');
    const ifindex = Number(index);
    detachClsact({ ifindex, device: `device ${index}`, direction: direction === 'egress' ? 'egress' : 'ingress' });
    const qdisc = qdiscRecordOf(pin, ifindex);
    if (existsSync(qdisc) && !hasFilters(ifindex)) {
      removeQdisc(ifindex);
      rmdirSync(qdisc);
    }
    rmdirSync(join(record, entry));
  }
  rmSync(record, { recursive: true, force: true });
}

/** Everything waits for these commands. */
const QUICKLY = { encoding: 'utf8', timeout: 2000, killSignal: 'SIGKILL' } as const;

/** Whether any filter is left in a clsact qdisc. When that cannot be found out, the qdisc stays. */
function hasFilters(ifindex: number): boolean {
  try {
    const links: { ifindex: number; ifname: string }[] = JSON.parse(
      execFileSync('ip', ['-j', 'link', 'show'], QUICKLY),
    );
    const device = links.find((link) => link.ifindex === ifindex)?.ifname;
    if (device === undefined) return true;
    return ['ingress', 'egress'].some(
      (side) => execFileSync('tc', ['filter', 'show', 'dev', device, side], QUICKLY).trim() !== '',
    );
  } catch {
    return true;
  }
}

/** Detaches everything attached under a pin directory: links and clsact filters. Maps and programs stay pinned. */
export function detachAll(pinDirectory: string): void {
  const links = join(pinDirectory, 'links');
  for (const name of listPins(links)) unpinLink(join(links, name));
  for (const name of listPins(join(pinDirectory, 'clsact'))) detachRecorded(join(links, name));
}
