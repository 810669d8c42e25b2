/** A few cases of a fixed seed; `make fuzz-semantics` runs others for as long as one likes. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { generateCase } from './generate/case.ts';
import { caseText } from './report.ts';
import { createKernel, type Kernel } from './run/kernel.ts';
import { runCase } from './run/run-case.ts';
import { shrink } from './shrink.ts';

const SEED = 1;
const CASES = 60;
/** A loaded machine runs fewer cases: the test is no benchmark. */
const SECONDS = 12;

let kernel: Kernel;

beforeAll(async () => {
  kernel = await createKernel();
});

afterAll(() => kernel?.remove());

it(`the kernel does what the rules ask for: clusters from seed ${SEED} on`, async () => {
  const begin = performance.now();
  const inTime = () => performance.now() - begin < SECONDS * 1000;
  let probes = 0;
  for (let seed = SEED; seed < SEED + CASES && (inTime() || probes === 0); seed++) {
    const given = generateCase(seed);
    const { failure, ...counts } = await runCase(kernel, given);
    probes += counts.probes;
    if (failure === undefined) continue;
    const small = await shrink({ case: given, failure }, async (smaller) => (await runCase(kernel, smaller)).failure);
    expect.fail(`SEED=${seed}\n${caseText(small.case, small.failure)}`);
  }
  expect(probes).toBeGreaterThan(0);
});
