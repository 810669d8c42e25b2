/** Measures one path: the program over an empty one, in turn, several rounds. */
import type { PacketRig } from '../../test/support/packet/rig.ts';
import { skbContext, xdpContext } from '../../test/support/packet/rig.ts';
import type { PacketCost } from '../report/results.ts';
import { median } from '../stats/summary.ts';
import { establish, type Family, type Path, serve } from './paths.ts';
import { FRAME_BYTES, type Run, type Subject, type Wrapper } from './wrapper.ts';

export interface Effort {
  readonly rounds: number;
  /** Runs of the program in a round. */
  readonly repeat: number;
}

/** Rounds in which something else had the processor, or a next hop was looked up again, are measured anew. */
const ATTEMPTS = 10;
/** New flows a round: the port of a client tells them apart, and each makes two entries. */
const NEW_FLOWS = 20_000;
const PORTS_PER_ROUND = [1024, 33_000] as const;

/** What runs the path's program on its packet once. */
export function subjectOf(rig: PacketRig, path: Path, family: Family): Subject {
  const frame = path.frame(family);
  const hook = path.program === 'xdp_ingress' ? 'xdp' : 'tc';
  const device = rig.ifindex('node0');
  const context =
    hook === 'xdp' ? xdpContext(device, FRAME_BYTES) : skbContext(device, path.forwarded ? rig.ifindex('pod0') : 0);
  const l4 = family === 4 ? 34 : 54;
  const udp = frame[family === 4 ? 23 : 20] === 17;
  const renew = path.fresh ? { renew: { source: l4, check: l4 + (udp ? 6 : 16) } } : {};
  return { hook, program: rig.program(path.program), frame, context, ...renew };
}

/** One round that took the path. */
function round(rig: PacketRig, wrapper: Wrapper, path: Path, family: Family, repeat: number, turn: number): Run {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    // Renews the next hops too, which hold for a second.
    if (path.fresh) serve(rig);
    else establish(rig, family);
    const subject = subjectOf(rig, path, family);
    if (path.fresh) subject.frame.writeUInt16BE(PORTS_PER_ROUND[turn % 2] ?? 0, family === 4 ? 34 : 54);
    const run = wrapper.run(subject, path.fresh ? NEW_FLOWS : repeat);
    if (run.retval === path.verdict) return run;
  }
  throw new Error(`measure ${path.program}, ${path.name}, IPv${family}: it never ends with verdict ${path.verdict}`);
}

/** @throws Error when the packet takes another path */
export function measurePath(
  rig: PacketRig,
  wrapper: Wrapper,
  path: Path,
  family: Family,
  { rounds, repeat }: Effort,
): PacketCost {
  const costs = Array.from({ length: rounds }, (_, turn) => {
    const run = round(rig, wrapper, path, family, repeat, turn);
    return run.with - run.without;
  });
  return {
    program: path.program,
    path: `${path.name}, IPv${family}`,
    nanoseconds: { median: median(costs), min: Math.min(...costs), max: Math.max(...costs) },
    ...(path.limit === undefined ? {} : { limit: path.limit }),
  };
}
