/** Part 6: how evenly connections are spread, and what breaks when a backend leaves. */
import type { Competitor } from '../competitors/competitor.ts';
import { type LoadReport, RunningLoad, runLoad } from '../load/run.ts';
import { clusterIpOf } from '../rules/model.ts';
import { chiSquare } from '../stats/chi-square.ts';
import { PORTS, type World } from '../world/world.ts';
import { type Context, dialFromPod, installAll, recorder, SERVICE_PORT, servicesOf } from './context.ts';

interface Held {
  readonly alive: number;
  readonly broken: number;
  readonly backends: Readonly<Record<string, number>>;
}

const SIZE = 1;
const HELD = 300;

export async function runSpread(context: Context): Promise<void> {
  const world = await context.world();
  const count = context.plan.quick ? 3000 : 30_000;
  context.say(`spread: ${count} connections, then a backend leaves`);
  const competitors = await installAll(context, 'spread', SIZE, dialFromPod(context, world, SIZE));
  const record = recorder(context, 'spread', SIZE);
  const targets = `${clusterIpOf(1)}:${SERVICE_PORT}`;
  for (const competitor of competitors) {
    const client = world.nodeOf(competitor).pod('client');
    const load = { targets, count, seconds: 60, request: 'name' };
    const report = await runLoad<LoadReport>(client, context.tools.load, 'connect', load);
    const counts = world.endpoints.map((_, k) => report.backends?.[`backend${k + 1}`] ?? 0);
    record(competitor, 0, { 'spread.p': chiSquare(counts).p });
  }
  for (const competitor of competitors) record(competitor, 0, await leave(context, world, competitor, targets));
}

/** The last backend leaves the Service while it still serves, as a pod does that drains. */
async function leave(
  context: Context,
  world: World,
  competitor: Competitor,
  targets: string,
): Promise<Record<string, number>> {
  const node = world.nodeOf(competitor);
  const client = node.pod('client');
  const endpoints = world.endpoints.slice(0, -1);
  const gone = `backend${world.endpoints.length}`;
  const held = new RunningLoad<Held>(client, context.tools.load, 'hold', { targets, connections: HELD });
  const before = await nth(held, 1);
  const fresh = runLoad<LoadReport>(client, context.tools.load, 'connect', { targets, seconds: 4, request: 'name' });
  await world.api.ask({ op: 'set', size: SIZE, ports: PORTS, endpoints, extra: world.exposed });
  const services = servicesOf({ ...world, endpoints }, SIZE);
  await competitor.install({ world, node, services });
  held.ask();
  const after = await nth(held, 2);
  await held.stop();
  const { errors } = await fresh;
  await world.api.ask({ op: 'set', size: SIZE, ports: PORTS, endpoints: world.endpoints, extra: world.exposed });
  await competitor.install({ world, node, services: servicesOf(world, SIZE) });
  const lost = (name: string) => (before.backends[name] ?? 0) - (after.backends[name] ?? 0);
  const names = Object.keys(before.backends).filter((name) => name !== gone);
  return {
    'leave.broken-kept': names.reduce((sum, name) => sum + lost(name), 0),
    'leave.broken-gone': lost(gone),
    'leave.errors': errors,
  };
}

/** The nth line that `hold` prints. */
async function nth(held: RunningLoad<Held>, n: number): Promise<Held> {
  const deadline = performance.now() + 60_000;
  while (held.lines.length < n) {
    if (performance.now() > deadline) throw new Error('hold connections: no word for 60 s');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return held.lines[n - 1] as Held;
}
