/**
 * Part 5: the control plane, from outside: a client asks a Service again and again, so a change is in force
 * when an answer comes from the backend that it leads to. The same for Sluice and for a real kube-proxy.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type Competitor, NotAvailable } from '../competitors/competitor.ts';
import { RunningLoad } from '../load/run.ts';
import { sliceObject } from '../rules/model.ts';
import { createRandom, quantile } from '../stats/summary.ts';
import { processUsage } from '../world/cpu.ts';
import { createWorld, type World } from '../world/world.ts';
import { type Context, recorder, SERVICE_PORT } from './context.ts';
import { endpointsAt, flipService, prepare, type Started, startProxy, type Word } from './control-start.ts';

const CHURN_PER_SECOND = 20;
const ROLL_STEPS = 30;
/** Where a change takes seconds, a series ends before it has all its changes: after this time, but not with fewer than that. */
const SERIES_MS = 60_000;
const FEWEST_CHANGES = 10;

export async function runControl(context: Context, sizes: readonly number[]): Promise<void> {
  const competitors = context.competitors.filter(({ controlPlane }) => controlPlane);
  const world = await createWorld(competitors, context.tools);
  try {
    for (const size of sizes) {
      for (const competitor of competitors) {
        // One that fails, in the middle of a change perhaps, says nothing about the next.
        try {
          await prepare(world, size);
          await measure(context, world, competitor, size);
        } catch (error) {
          const why = `${size} Services: ${(error as Error).message.split('\n')[0]}`;
          context.skip({ part: 'control', competitor: competitor.name, why });
        }
      }
    }
  } finally {
    await world.close();
  }
}

function startWatch(context: Context, world: World, competitor: Competitor, size: number, timeout: number) {
  const targets = `${flipService(world, size).clusterIp}:${SERVICE_PORT}`;
  const client = world.nodeOf(competitor).pod('client');
  // By TCP: a few seconds of datagrams from new sockets use every port, and nf_conntrack sends one whose port it has
  // seen where it sent it before, whatever the rules say now.
  return new RunningLoad<Word>(client, context.tools.load, 'watch', { targets, every: 200, timeout, protocol: 'tcp' });
}

async function measure(context: Context, world: World, competitor: Competitor, size: number): Promise<void> {
  const changes = context.plan.quick ? 50 : 300;
  const record = recorder(context, 'control', size);
  // Looked at often while there is no answer; later an answer that is late is no answer lost.
  const starting = startWatch(context, world, competitor, size, 10);
  const proxy = await startProxy(world, competitor, starting).finally(() => starting.stop());
  const watch = startWatch(context, world, competitor, size, 2000);
  try {
    const calm = await changeTimes(world, watch, size, changes);
    const before = processUsage(proxy.pid);
    await world.api.ask({ op: 'churn', perSecond: CHURN_PER_SECOND, size, endpoints: endpointsAt(size) });
    const churned = performance.now();
    const busy = await changeTimes(world, watch, size, changes);
    const after = processUsage(proxy.pid);
    await world.api.ask({ op: 'calm' });
    const values = {
      'control.start': proxy.startMs,
      'control.lists': proxy.listsMs,
      'control.change-p50': quantile(calm, 0.5),
      'control.change-p99': quantile(calm, 0.99),
      'control.busy-p99': quantile(busy, 0.99),
      'control.busy-cpu': ((after.cpuSeconds - before.cpuSeconds) / ((performance.now() - churned) / 1000)) * 100,
      ...(await roll(world, watch, size, proxy)),
      'control.resident': processUsage(proxy.pid).residentMiB,
      'control.peak': processUsage(proxy.pid).peakMiB,
    };
    record(competitor, 0, values);
    const shown = Object.entries(values).map(([name, value]) => `${name.slice('control.'.length)} ${value.toFixed(1)}`);
    context.say(`control: ${competitor.name}, ${size} × ${endpointsAt(size)}: ${shown.join(', ')}`);
  } finally {
    await watch.stop();
    await proxy.stop();
  }
}

/** Leads the Service to one backend, then to the other. @returns milliseconds from each write to the first answer */
async function changeTimes(world: World, watch: RunningLoad<Word>, size: number, changes: number): Promise<number[]> {
  const service = flipService(world, size);
  const random = createRandom();
  const times: number[] = [];
  const started = performance.now();
  for (let n = 1; n <= changes; n++) {
    if (n > FEWEST_CHANGES && n % 2 === 1 && performance.now() - started > SERIES_MS) break;
    const seen = watch.lines.length;
    const wanted = `backend${(n % 2) + 1}`;
    const written = await world.api.apply([sliceObject(service, (k) => k === n % 2)]);
    const word = await answerFrom(watch, wanted, seen);
    times.push(Number(BigInt(word.at) - written) / 1e6);
    await delay(5 + random() * 20);
  }
  // The next series begins with the other one.
  await world.api.apply([sliceObject(service, (k) => k === 0)]);
  await answerFrom(watch, 'backend1', times.length % 2 === 0 ? 0 : watch.lines.length);
  return times;
}

/** The first line by a backend after the first `seen` lines. @throws NotAvailable after 60 s */
export async function answerFrom(watch: RunningLoad<Word>, name: string, seen: number): Promise<Word> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    const word = watch.lines.slice(seen).find((line) => line.name === name);
    if (word !== undefined) return word;
    if (performance.now() > deadline) throw new NotAvailable(`no answer of ${name} for 60 s after a change`);
    await delay(1);
  }
}

/** A rolling update: one backend comes, another drains and goes, again and again. */
async function roll(
  world: World,
  watch: RunningLoad<Word>,
  size: number,
  { pid }: Started,
): Promise<Record<string, number>> {
  const service = flipService(world, size);
  const dark = () => watch.lines.filter(({ name }) => name === '-').length;
  const before = { lost: dark(), cpu: processUsage(pid).cpuSeconds };
  for (let step = 0; step < ROLL_STEPS; step++) {
    const first = Math.floor(step / 2) % 2;
    await world.api.apply([sliceObject(service, (k) => k < 2 && (step % 2 === 0 || k === first))]);
    await delay(50);
  }
  await delay(100);
  return {
    'control.roll-lost': dark() - before.lost,
    'control.roll-cpu': ((processUsage(pid).cpuSeconds - before.cpu) * 1000) / ROLL_STEPS,
  };
}
