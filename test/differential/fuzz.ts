/**
 * The differential test for as long as one likes: `make fuzz-semantics SEED=… TIME=… REPLAY=file.yaml`.
 * SEED: of the first case, the next ones follow it; TIME: seconds. Ends with 1 at the first difference.
 */
import { fileURLToPath } from 'node:url';
import type { Case } from './case.ts';
import { generateCase } from './generate/case.ts';
import { caseText, readCase, writeCase } from './report.ts';
import { createKernel, type Kernel } from './run/kernel.ts';
import { type Failure, runCase } from './run/run-case.ts';
import { shrink } from './shrink.ts';

const OUT = fileURLToPath(new URL('../../dist/differential', import.meta.url));
const PROGRESS_MS = 5000;
/** A replayed case is run so often, for backends are chosen at random. */
const REPLAYS = 20;

const say = (text: string) => process.stdout.write(`${text}\n`);

async function replay(kernel: Kernel, path: string): Promise<boolean> {
  const given = readCase(path);
  for (let i = 0; i < REPLAYS; i++) {
    const { failure } = await runCase(kernel, given);
    if (failure === undefined) continue;
    say(`${failure.what}\n  expected: ${failure.expected}\n  got:      ${failure.got}`);
    return false;
  }
  say('as expected');
  return true;
}

async function report(kernel: Kernel, seed: number, given: Case, failure: Failure): Promise<void> {
  say(`SEED=${seed}: ${failure.what}\n  expected: ${failure.expected}\n  got:      ${failure.got}\nmaking it smaller…`);
  const small = await shrink({ case: given, failure }, async (smaller) => (await runCase(kernel, smaller)).failure);
  const text = caseText(small.case, small.failure);
  const path = writeCase(OUT, `seed-${seed}`, text);
  say(`${text}\nreplay it: make fuzz-semantics REPLAY=${path}`);
}

async function fuzz(kernel: Kernel, first: number, seconds: number): Promise<boolean> {
  const begin = performance.now();
  const counts = { cases: 0, probes: 0, undecided: 0 };
  const passed = () => (performance.now() - begin) / 1000;
  const progress = () => {
    const rate = Math.round(counts.probes / passed());
    say(`${Math.round(passed())} s: ${counts.cases} cases, ${counts.probes} probes, ${rate} a second, no difference`);
  };
  let told = begin;
  while (passed() < seconds) {
    const seed = (first + counts.cases) >>> 0;
    const given = generateCase(seed);
    const { probes, undecided, failure } = await runCase(kernel, given);
    counts.cases++;
    counts.probes += probes;
    counts.undecided += undecided;
    if (failure !== undefined) {
      await report(kernel, seed, given, failure);
      return false;
    }
    if (performance.now() - told < PROGRESS_MS) continue;
    told = performance.now();
    progress();
  }
  progress();
  say(`${counts.undecided} probes were left out: no rule decides them`);
  return true;
}

const { SEED, TIME, REPLAY } = process.env;
const kernel = await createKernel();
try {
  const seed = SEED ? Number(SEED) : Math.floor(Math.random() * 2 ** 32);
  if (!REPLAY) say(`SEED=${seed}`);
  const good = REPLAY ? await replay(kernel, REPLAY) : await fuzz(kernel, seed, Number(TIME || 60));
  process.exitCode = good ? 0 : 1;
} finally {
  kernel.remove();
}
