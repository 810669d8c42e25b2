/** Changes who serves the node: takes over, hands back, and waits until it is done. */
import { DEVICE_NODE, DEVICE_POD, device as deviceCodec, deviceKey } from '../../../maps-schema/gen/codecs.ts';
import { type Handover, readHandover, writeHandover } from '../../bpf/handover.ts';
import type { Maps } from '../../bpf/open-maps.ts';
import { SluiceError } from '../../model/errors.ts';
import type { CliContext } from '../context.ts';
import { systemTargets } from '../targets.ts';
import { decodeRows } from '../views/rows.ts';
import { countOpenFlows } from './open-flows.ts';

const EVERY_MS = 250;
/** Milliseconds for the agent to attach everywhere, or to detach. */
const ATTACH_MS = 60_000;
/** After the last flow its last packets are let through. */
const LINGER_MS = 1000;

/** Attached devices by index, from links and recorded filters. */
function attachedDevices({ kernel }: CliContext, root: string): Map<number, Set<string>> {
  const found = new Map<number, Set<string>>();
  const add = (ifindex: number, direction: string) =>
    found.set(ifindex, (found.get(ifindex) ?? new Set<string>()).add(direction));
  for (const { name, attached } of kernel.listLinks(root)) {
    const [, ifindex, direction = ''] = /^dev(\d+)_(ingress|egress)$/.exec(name) ?? [];
    if (attached && ifindex !== undefined) add(Number(ifindex), direction);
  }
  for (const { ifindex, direction } of kernel.listFilters(root)) add(ifindex, direction);
  return found;
}

export function isServing(context: CliContext, root: string, maps: Maps): boolean {
  const { standby, detached } = readHandover(maps.control);
  return !standby && !detached && attachedDevices(context, root).size > 0;
}

function missing(context: CliContext, root: string, maps: Maps): string[] {
  const attached = attachedDevices(context, root);
  const wanted = [...decodeRows(maps.devices.entries(), deviceKey, deviceCodec)].filter(
    ([, { flags }]) => (flags & (DEVICE_NODE | DEVICE_POD)) !== 0,
  );
  const name = systemTargets().device;
  return wanted.flatMap(([{ ifindex }]) =>
    attached.get(ifindex)?.size === 2 || name(ifindex) === undefined ? [] : [name(ifindex) ?? String(ifindex)],
  );
}

/** Polls until done. @returns false when the time was over first. */
async function until({ wait }: CliContext, ms: number, done: () => boolean): Promise<boolean> {
  const end = performance.now() + ms;
  while (!done()) {
    if (performance.now() > end || !(await wait(EVERY_MS))) return false;
  }
  return true;
}

/**
 * Everything is attached first, and then begins at once: no packet meets half of the programs.
 * @throws SluiceError ATTACH_FAILED when the agent does not attach everywhere; all is as before then.
 */
export async function takeOver(context: CliContext, root: string, maps: Maps): Promise<void> {
  const before: Handover = readHandover(maps.control);
  writeHandover(maps.control, { standby: true, detached: false });
  const sockets = () => context.kernel.listLinks(root).some(({ kind, attached }) => kind === 'cgroup' && attached);
  const done = () => attachedDevices(context, root).size > 0 && sockets() && missing(context, root, maps).length === 0;
  if (await until(context, ATTACH_MS, done)) {
    writeHandover(maps.control, { standby: false, detached: false });
    return;
  }
  const left = missing(context, root, maps);
  writeHandover(maps.control, before);
  throw new SluiceError(
    'ATTACH_FAILED',
    `take over: the agent did not attach ${left.length > 0 ? `to ${left.join(', ')}` : 'its programs'} within ${ATTACH_MS / 1000} s; kube-proxy serves as before; the agent's log says why`,
  );
}

export interface HandedBack {
  /** Flows that were left when the time was over; 0: all ended. */
  readonly left: number;
  readonly detached: boolean;
}

/**
 * Nothing new begins from now on; flows are carried to their end, then everything is detached.
 * @param ms to wait for the flows @param force detach although some are left
 * @param told of how many flows are left, now and then
 */
export async function handBack(
  context: CliContext,
  root: string,
  maps: Maps,
  { ms, force }: { readonly ms: number; readonly force: boolean },
  told: (left: number) => void,
): Promise<HandedBack> {
  writeHandover(maps.control, { standby: true, detached: false });
  const clock = await context.kernel.readClock();
  const began = performance.now();
  const elapsed = () => (performance.now() - began) / 1000;
  const count = () => countOpenFlows(maps, clock && { ...clock, elapsed: elapsed() });
  let left = count();
  await until(context, ms, () => {
    const now = count();
    if (now !== left) told(now);
    left = now;
    return left === 0;
  });
  if (left > 0 && !force) return { left, detached: false };
  await context.wait(LINGER_MS);
  writeHandover(maps.control, { standby: true, detached: true });
  const gone = () => attachedDevices(context, root).size === 0;
  // Without an agent nobody else does it.
  if (context.kernel.agentHolds(root) === false) context.kernel.detach(root);
  if (!(await until(context, ATTACH_MS, gone)))
    throw new SluiceError('ATTACH_FAILED', 'hand back: the agent did not detach its programs; its log says why');
  return { left, detached: true };
}
