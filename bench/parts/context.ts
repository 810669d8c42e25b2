/** What a part of the benchmark works with. */
import type { Competitor, PartName } from '../competitors/competitor.ts';
import { NotAvailable } from '../competitors/competitor.ts';
import type { LoadTools } from '../load/build.ts';
import { type LoadReport, runLoad } from '../load/run.ts';
import { ratiosAreNarrow } from '../report/aggregate.ts';
import { METRICS, type NotRun, type Sample } from '../report/results.ts';
import { clusterIpOf, HTTP, type ModelService, modelServices, targetNumbers } from '../rules/model.ts';
import { PORTS, SERVER_PORT, type World } from '../world/world.ts';

export interface Plan {
  /** Numbers of Services, ascending. */
  readonly sizes: readonly number[];
  readonly rounds: number;
  /** Of one measurement. */
  readonly seconds: number;
  readonly quick: boolean;
}

export interface Context {
  readonly plan: Plan;
  readonly tools: LoadTools;
  readonly competitors: readonly Competitor[];
  /** Laid out when first asked for. */
  world(): Promise<World>;
  record(sample: Sample): void;
  /** All that was recorded. */
  readonly samples: readonly Sample[];
  skip(notRun: NotRun): void;
  say(text: string): void;
}

/** Notes the values of one measurement. @param values by metric */
export function recorder(context: Context, part: PartName, size: number) {
  return (competitor: Competitor, round: number, values: Readonly<Record<string, number>>): void => {
    for (const [metric, value] of Object.entries(values)) {
      if (METRICS[metric] === undefined) throw new Error(`record ${metric}: there is no such metric`);
      context.record({ part, metric, competitor: competitor.name, size, round, value });
    }
  };
}

/** All Services of a size: what is dialled, what fills the tables, what NodePorts lead to. */
export function servicesOf(world: World, size: number): ModelService[] {
  return [...modelServices(size, PORTS, world.endpoints), ...world.exposed];
}

/**
 * Puts the Services of a size in force everywhere, one competitor after another.
 * @param answers dials through it a few times: one that does not serve is not measured, and stops no other
 * @returns those that serve now; the others are reported as not run
 */
export async function installAll(
  context: Context,
  part: PartName,
  size: number,
  answers: (competitor: Competitor) => Promise<LoadReport>,
): Promise<Competitor[]> {
  const world = await context.world();
  const services = servicesOf(world, size);
  await world.api.ask({ op: 'set', size, ports: PORTS, endpoints: world.endpoints, extra: world.exposed });
  const serving: Competitor[] = [];
  for (const competitor of context.competitors) {
    if (!competitor.parts.includes(part)) continue;
    const started = performance.now();
    try {
      await competitor.install({ world, node: world.nodeOf(competitor), services });
      const { count, errors } = await answers(competitor);
      if (count === 0) throw new NotAvailable(`nothing answers through it: ${errors} connections failed`);
      serving.push(competitor);
      context.say(`  ${competitor.name}: ${size} Services in ${((performance.now() - started) / 1000).toFixed(1)} s`);
    } catch (error) {
      if (!(error instanceof NotAvailable)) throw error;
      context.skip({ part, competitor: competitor.name, why: error.message });
    }
  }
  return serving;
}

/** On a noisy machine so many times the rounds of the plan. */
const MOST_ROUNDS = 3;

/**
 * Round after round, each competitor in turn; every second round backwards, so that none is always first. There are more
 * than planned while the ratios of what is judged are not known well enough.
 */
export async function inTurn(
  context: Context,
  competitors: readonly Competitor[],
  judged: { readonly part: PartName; readonly metric: string; readonly size: number },
  measure: (competitor: Competitor, round: number) => Promise<void>,
): Promise<void> {
  const { rounds, quick } = context.plan;
  const isOver = (round: number) =>
    round >= rounds &&
    (quick ||
      round >= MOST_ROUNDS * rounds ||
      ratiosAreNarrow(context.samples, judged.part, judged.metric, judged.size));
  for (let round = 0; !isOver(round); round++) {
    const order = round % 2 === 0 ? competitors : competitors.toReversed();
    for (const competitor of order) await measure(competitor, round);
  }
}

/** `10.96.0.1:80,…` */
export function addressList(addresses: readonly string[], port: number): string {
  return addresses.map((address) => `${address}:${port}`).join(',');
}

export const SERVICE_PORT = HTTP.port;
export const BULK_PORT = 81;

/** Dials a cluster address from the competitor's client pod; see installAll. */
export function dialFromPod(context: Context, world: World, size: number) {
  return (competitor: Competitor): Promise<LoadReport> => {
    const targets = competitor.direct
      ? `${world.endpoints[0]?.address}:${SERVER_PORT}`
      : `${clusterIpOf(targetNumbers(size)[0] ?? 1)}:${SERVICE_PORT}`;
    const client = world.nodeOf(competitor).pod('client');
    return runLoad(client, context.tools.load, 'connect', { targets, count: 5, seconds: 5 });
  };
}
