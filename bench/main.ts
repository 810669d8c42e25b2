/**
 * make bench [PARTS=connect,established,northsouth,packet,control,spread] [SIZES=1,1000] [KUBE_PROXY=/path]
 * make bench-quick
 *
 * Measures, side by side and in turn, and writes bench/results. Needs root. docs/benchmarks.md has the method.
 */
import type { PartName } from './competitors/competitor.ts';
import { listCompetitors } from './competitors/list.ts';
import { buildLoadTools } from './load/build.ts';
import { readOptions } from './options.ts';
import { runConnect } from './parts/connect.ts';
import type { Context } from './parts/context.ts';
import { runControl } from './parts/control.ts';
import { runEstablished } from './parts/established.ts';
import { runNorthSouth } from './parts/northsouth.ts';
import { type PacketResults, runPacket } from './parts/packet.ts';
import { runSpread } from './parts/spread.ts';
import { verdictTable } from './report/markdown.ts';
import type { NotRun, Results, Sample } from './report/results.ts';
import { judge } from './report/targets.ts';
import { writeResults } from './report/write.ts';
import { backgroundLoad } from './world/cpu.ts';
import { describeMachine } from './world/machine.ts';
import { createWorld, type World } from './world/world.ts';

const started = new Date();
const options = readOptions(process.env, process.argv.includes('--quick'));
const samples: Sample[] = [];
const notRun: NotRun[] = [];
let packet: PacketResults | undefined;
let world: Promise<World> | undefined;

const minutes = () => (Date.now() - started.getTime()) / 60_000;
const say = (text: string) => console.log(`${minutes().toFixed(1).padStart(5)} min  ${text}`);

if (process.getuid?.() !== 0) throw new Error('run the benchmark: namespaces and BPF need root; run it as root');
const machine = describeMachine();
const background = await backgroundLoad(machine.cores);
say(`${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}; ${Math.round(background * 100)} % busy`);
const tools = await buildLoadTools();
const competitors = listCompetitors(options.plan.quick);
const context: Context = {
  plan: options.plan,
  tools,
  competitors,
  world() {
    world ??= createWorld(competitors, tools);
    return world;
  },
  record: (sample) => samples.push(sample),
  samples,
  skip(one) {
    notRun.push(one);
    say(`  ${one.competitor}: not run: ${one.why}`);
  },
  say,
};

const run: Record<PartName, () => Promise<void>> = {
  async packet() {
    packet = await runPacket(context);
  },
  connect: () => runConnect(context),
  established: () => runEstablished(context),
  northsouth: () => runNorthSouth(context),
  control: () => runControl(context, options.controlSizes),
  spread: () => runSpread(context),
};

let failed = 0;
try {
  for (const part of options.parts) {
    try {
      await run[part]();
    } catch (error) {
      // The other parts are worth having.
      failed++;
      notRun.push({ part, competitor: 'all', why: (error as Error).message.split('\n')[0] ?? '' });
      console.error(error);
    }
  }
} finally {
  await (await world)?.close();
}
const results: Results = {
  format: 1,
  startedAt: started.toISOString(),
  minutes: Math.round(minutes() * 10) / 10,
  machine,
  background,
  parts: options.parts,
  quick: options.plan.quick,
  competitors: competitors.map(({ name, label }) => ({ name, label })),
  samples,
  notRun,
  ...packet,
};
const { json, report } = writeResults(results, options.out, options.complete && failed === 0);
say(`${samples.length} measurements: ${json}, ${report}`);
console.log(`\n${verdictTable(judge(results).filter(({ met }) => met !== undefined))}`);
process.exitCode = failed > 0 ? 1 : 0;
