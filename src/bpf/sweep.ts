/** Runs the programs that walk the flow tables in the kernel (bpf/sweep.bpf.c). */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type FlowTableName, flowPlaces } from './flow-table.ts';
import type { Maps } from './open-maps.ts';
import { testRun } from './test-run.ts';

/** What a walk found: entries of both families, but for those removed. */
export interface Swept {
  /** Entries that stay in flows. */
  readonly established: number;
  /** Entries that stay in half_open_flows. */
  readonly halfOpen: number;
  readonly removed4: number;
  readonly removed6: number;
}

/** Descriptors of `sweep_flows` and `sweep_half_open`. */
export type SweepPrograms = Readonly<Record<FlowTableName, number>>;

/** As in sweep.bpf.c: places a run, and where in its result the counts are. */
const SWEEP_PLACES = 512;
const REMOVED4 = 10;
const REMOVED6 = 20;
const COUNT = 0x3ff;
/** Offset of mark in struct __sk_buff. */
const SKB_MARK = 8;
/** Runs between two turns of the event loop: each takes some tens of microseconds. */
const RUNS_A_TURN = 16;

/** @throws SluiceError LOAD_FAILED when the kernel does not run a program. */
export async function runSweep(programs: SweepPrograms, maps: Pick<Maps, FlowTableName>): Promise<Swept> {
  const sweep = (table: FlowTableName) => {
    const places = flowPlaces(table);
    return sweepTable(programs[table], maps[table].shape.maxEntries / places, SWEEP_PLACES / places);
  };
  const flows = await sweep('flows');
  const halfOpen = await sweep('halfOpenFlows');
  return {
    established: flows.stay,
    halfOpen: halfOpen.stay,
    removed4: flows.removed4 + halfOpen.removed4,
    removed6: flows.removed6 + halfOpen.removed6,
  };
}

/** @param bucketsARun that the program walks over each time */
async function sweepTable(program: number, buckets: number, bucketsARun: number) {
  const swept = { stay: 0, removed4: 0, removed6: 0 };
  const [data, context] = [Buffer.alloc(64), Buffer.alloc(SKB_MARK + 4)];
  for (let first = 0, runs = 1; first < buckets; first += bucketsARun, runs++) {
    context.writeUInt32LE(first, SKB_MARK);
    const { retval } = testRun(program, { data, context, discardContext: true });
    swept.stay += retval & COUNT;
    swept.removed4 += (retval >>> REMOVED4) & COUNT;
    swept.removed6 += (retval >>> REMOVED6) & COUNT;
    if (runs % RUNS_A_TURN === 0) await nextTurn();
  }
  return swept;
}
