/**
 * make bench-profile PROGRAM=xdp_ingress CASE='established, sent on' [FAMILY=6] [SECONDS=5]
 *
 * Where the time of a packet's path goes: its program runs again and again, as in `make bench PARTS=packet`, while perf
 * looks on. Needs root and perf (Debian's linux-perf). The wrapper's own time is in the shares.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { flowPlaces } from '../src/bpf/flow-table.ts';
import { createPacketRig } from '../test/support/packet/rig.ts';
import { buildLoadTools } from './load/build.ts';
import { measurePath } from './packet/measure.ts';
import { type Family, PATH_KNOBS, PATHS, serve } from './packet/paths.ts';
import { sharesOf } from './packet/stacks.ts';
import { openWrapper } from './packet/wrapper.ts';

/** Samples a second. */
const RATE = 20_000;
/** What perf takes to begin. */
const WARM_UP_MS = 500;
const LINES = 30;
/** Entries of each flow table, as in `make bench`. */
const ENTRIES = 131_072;

const { PROGRAM: program, CASE: name, FAMILY: family = '4', SECONDS: seconds = '5' } = process.env;
const path = PATHS.find((one) => one.program === program && one.name === name);
if (path === undefined) {
  const known = PATHS.map((one) => `  PROGRAM=${one.program} CASE='${one.name}'`).join('\n');
  throw new Error(`profile: there is no such path; there are\n${known}`);
}

/** Runs perf to its end. @returns what it printed */
async function perf(args: readonly string[]): Promise<string> {
  const child = spawn('perf', args, { stdio: ['ignore', 'pipe', 'ignore'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`run perf ${args[0]}: it ended with ${code}`);
  return text;
}

const directory = mkdtempSync(join(tmpdir(), 'sluice-profile-'));
const rig = await createPacketRig(PATH_KNOBS, 'tc', {
  flows: ENTRIES / flowPlaces('flows'),
  halfOpenFlows: ENTRIES / flowPlaces('halfOpenFlows'),
});
const wrapper = openWrapper((await buildLoadTools()).restore);
try {
  serve(rig);
  const data = join(directory, 'perf.data');
  const options = ['-e', 'cpu-clock', '-F', `${RATE}`, '-g', '-o', data, '-p', `${process.pid}`];
  const recorder = spawn('perf', ['record', ...options], { stdio: 'ignore' });
  await once(recorder, 'spawn');
  await delay(WARM_UP_MS);
  const end = performance.now() + Number(seconds) * 1000;
  const costs: number[] = [];
  while (performance.now() < end) {
    const cost = measurePath(rig, wrapper, path, Number(family) as Family, { rounds: 3, repeat: 60_000 });
    costs.push(cost.nanoseconds.median);
  }
  recorder.kill('SIGINT');
  await once(recorder, 'exit');
  const shares = sharesOf(await perf(['script', '-i', data, '-F', 'ip,sym']), 'bpf_test_run');
  console.log(
    `${program}, ${name}, IPv${family}: ${costs.sort((a, b) => a - b)[costs.length >> 1]} ns, perf's own work in it`,
  );
  console.log('   self  with callees');
  for (const { name: symbol, self, total } of shares.slice(0, LINES))
    console.log(`${(self * 100).toFixed(1).padStart(6)} %  ${(total * 100).toFixed(1).padStart(5)} %  ${symbol}`);
} finally {
  wrapper.close();
  rig.remove();
  rmSync(directory, { recursive: true, force: true });
}
