/** Changes who serves the node: takes over, hands back, and waits until it is done. */
import { type Handover, isAttached, readHandover, writeHandover } from '../../bpf/handover.ts';
import type { Maps } from '../../bpf/open-maps.ts';
import { SluiceError } from '../../model/errors.ts';
import type { CliContext } from '../context.ts';
import { countOpenFlows } from './open-flows.ts';

const EVERY_MS = 250;
/** Milliseconds for the agent to attach everywhere, or to detach. */
const ATTACH_MS = 60_000;
/** After the last flow its last packets are let through. */
const LINGER_MS = 1000;

/** Is any program attached? */
function isAnyAttached({ kernel }: CliContext, root: string): boolean {
  return kernel.listLinks(root).some(({ attached }) => attached) || kernel.listFilters(root).length > 0;
}

export function isServing(context: CliContext, root: string, maps: Pick<Maps, 'control'>): boolean {
  const { standby, detached } = readHandover(maps.control);
  return !standby && !detached && isAnyAttached(context, root);
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
export async function takeOver(context: CliContext, _root: string, maps: Maps): Promise<void> {
  const before: Handover = readHandover(maps.control);
  writeHandover(maps.control, { standby: true, detached: false });
  if (await until(context, ATTACH_MS, () => isAttached(maps.control))) {
    writeHandover(maps.control, { standby: false, detached: false });
    return;
  }
  writeHandover(maps.control, before);
  throw new SluiceError(
    'ATTACH_FAILED',
    `take over: the agent did not attach its programs within ${ATTACH_MS / 1000} s; kube-proxy serves as before; the agent's log says why`,
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
  const gone = () => !isAnyAttached(context, root);
  // Without an agent nobody else does it.
  if (context.kernel.agentHolds(root) === false) context.kernel.detach(root);
  if (!(await until(context, ATTACH_MS, gone)))
    throw new SluiceError('ATTACH_FAILED', 'hand back: the agent did not detach its programs; its log says why');
  return { left, detached: true };
}
