/** Runs the programs that walk the flow tables in the kernel (bpf/sweep.bpf.c). */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { sweep } from '../../maps-schema/gen/codecs.ts';
import { SluiceError } from '../model/errors.ts';
import { bpfInBackground, Command, newAttr, putPointer } from './syscall.ts';
import { testRun } from './test-run.ts';

/** What a walk found: entries of both families, but for those removed. */
export interface Swept {
  /** Entries that stay in flows. */
  readonly established: number;
  /** Entries that stay in half_open_flows; undefined: this kernel cannot walk that table (before 5.14). */
  readonly halfOpen?: number;
  readonly removed4: number;
  readonly removed6: number;
}

export interface SweepPrograms {
  /** Descriptor of `sweep_flows`. */
  readonly flows: number;
  /** Descriptor of `sweep`; undefined: this kernel does not have it. */
  readonly halfOpen?: number;
}

/** As in sweep.bpf.c: buckets a run, and where in its result the counts are. */
const SWEEP_BUCKETS = 32;
const REMOVED4 = 10;
const REMOVED6 = 20;
const COUNT = 0x3ff;
/** Offset of mark in struct __sk_buff. */
const SKB_MARK = 8;
/** Runs between two turns of the event loop: each takes some tens of microseconds. */
const RUNS_A_TURN = 16;

/**
 * @param buckets of the table `flows`
 * @throws SluiceError LOAD_FAILED when the kernel does not run a program.
 */
export async function runSweep(programs: SweepPrograms, buckets: number): Promise<Swept> {
  const flows = await sweepFlows(programs.flows, buckets);
  if (programs.halfOpen === undefined) return flows;
  const rest = await sweepHalfOpen(programs.halfOpen);
  return {
    established: flows.established,
    halfOpen: rest.halfOpen,
    removed4: flows.removed4 + rest.removed4,
    removed6: flows.removed6 + rest.removed6,
  };
}

async function sweepFlows(program: number, buckets: number): Promise<Swept> {
  const swept = { established: 0, removed4: 0, removed6: 0 };
  const [data, context] = [Buffer.alloc(64), Buffer.alloc(SKB_MARK + 4)];
  for (let first = 0, runs = 1; first < buckets; first += SWEEP_BUCKETS, runs++) {
    context.writeUInt32LE(first, SKB_MARK);
    const { retval } = testRun(program, { data, context, discardContext: true });
    swept.established += retval & COUNT;
    swept.removed4 += (retval >>> REMOVED4) & COUNT;
    swept.removed6 += (retval >>> REMOVED6) & COUNT;
    if (runs % RUNS_A_TURN === 0) await nextTurn();
  }
  return swept;
}

/** On a thread of its own: a walk over a full table takes tens of milliseconds. */
async function sweepHalfOpen(program: number) {
  const attr = newAttr();
  const context = Buffer.alloc(sweep.size);
  attr.writeInt32LE(program, 0);
  attr.writeUInt32LE(context.length, 40);
  putPointer(attr, 48, context);
  if ((await bpfInBackground(Command.PROG_TEST_RUN, attr)) < 0)
    throw new SluiceError('LOAD_FAILED', 'walk the half-open flows: the kernel does not run the program "sweep"');
  return sweep.read(context, 0);
}
