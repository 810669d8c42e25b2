/** Rounds of trouble, each followed by a quiet moment in which kernel, desired state and traffic have to agree. */
import { type Random, randomFrom } from '../support/packet/random.ts';
import { ACTIONS, type Action } from './actions.ts';
import { createWorld, delay, type World } from './world.ts';

export interface ChaosOptions {
  readonly seed: number;
  readonly seconds: number;
  readonly say: (text: string) => void;
}

export interface ChaosReport {
  readonly rounds: number;
  readonly requests: number;
  /** Of those, while nothing was done that costs packets. */
  readonly failed: number;
  /** What did not agree; the first ends the run. */
  readonly wrong: readonly string[];
}

/** Milliseconds that an agent has until all agrees again: a sync period and a repair, on a busy machine. */
const SETTLE_MS = 90_000;
/** Requests of each stream that are answered in a quiet moment before the next round. */
const QUIET_REQUESTS = 15;
/** Answers are waited for so long. */
const REQUEST_MS = 6_000;

interface Round {
  readonly actions: readonly {
    readonly action: Action;
    readonly run: (world: World) => Promise<void>;
    readonly after: number;
  }[];
}

/** The nth round of a seed, the same every time. */
export function roundOf(seed: number, n: number): Round {
  const random: Random = randomFrom(seed + n * 7919);
  // Disruptions are one in four: the others may cost nothing.
  const kind = ACTIONS.filter(({ disrupts = false }) => disrupts === random.oneIn(4) || !disrupts);
  const actions = Array.from({ length: 1 + random.below(3) }, () => {
    const action = random.pick(kind);
    return { action, run: action.draw(random), after: random.below(400) };
  });
  return { actions };
}

async function takeAll(world: World): Promise<{ ok: number; failed: number; text: string }> {
  const all = await Promise.all(world.streams.map(async ({ name, take }) => ({ name, ...(await take()) })));
  return {
    ok: all.reduce((sum, { ok }) => sum + ok, 0),
    failed: all.reduce((sum, { failed }) => sum + failed, 0),
    text: all.flatMap(({ name, failed, errors }) => (failed > 0 ? [`${name}: ${failed} (${errors})`] : [])).join('; '),
  };
}

/** @returns what still differs; undefined: kernel and desired state agree */
async function settle(world: World): Promise<string | undefined> {
  const until = performance.now() + SETTLE_MS;
  for (;;) {
    await world.start();
    const { agent } = world;
    const { code, items, text } = await world.verify();
    const alive = agent !== undefined && agent.exit === undefined;
    if (alive && code === 0 && agent.logs.some(({ msg }) => msg === 'synced')) return undefined;
    if (performance.now() > until)
      return `verify ended with ${code}: ${text.trim()} ${JSON.stringify(items.slice(0, 5))}; last lines: ${JSON.stringify(agent?.logs.slice(-5))}`;
    await delay(300);
  }
}

/** Every stream is answered, and none fails. */
async function quiet(
  world: World,
  disrupted: boolean,
): Promise<{ ok: number; failed: number; text: string; silent: string }> {
  // What was under way while packets were lost may still fail.
  if (disrupted) await delay(REQUEST_MS);
  if (disrupted) await takeAll(world);
  const until = performance.now() + 30_000;
  const sums = world.streams.map(({ name }) => ({ name, ok: 0, failed: 0, errors: '' }));
  while (performance.now() < until && sums.some(({ ok, failed }) => ok < QUIET_REQUESTS && failed === 0)) {
    await delay(100);
    await Promise.all(
      world.streams.map(async ({ take }, i) => {
        const [sum, more] = [sums[i], await take()];
        if (sum !== undefined)
          Object.assign(sum, {
            ok: sum.ok + more.ok,
            failed: sum.failed + more.failed,
            errors: more.errors || sum.errors,
          });
      }),
    );
  }
  return {
    ok: sums.reduce((sum, { ok }) => sum + ok, 0),
    failed: sums.reduce((sum, { failed }) => sum + failed, 0),
    text: sums.flatMap(({ name, failed, errors }) => (failed > 0 ? [`${name}: ${failed} (${errors})`] : [])).join('; '),
    silent: sums.flatMap(({ name, ok }) => (ok === 0 ? [name] : [])).join('; '),
  };
}

/** One round. @returns what went wrong */
async function playRound(world: World, round: Round, counts: { requests: number; failed: number }): Promise<string[]> {
  const wrong: string[] = [];
  const disrupts = round.actions.some(({ action }) => action.disrupts);
  await takeAll(world);
  for (const { run, after } of round.actions) {
    await run(world);
    await delay(after);
  }
  world.api.server.faults.clear();
  const left = await settle(world);
  if (left !== undefined) return [left];
  const during = await takeAll(world);
  counts.requests += during.ok + during.failed;
  if (!disrupts) {
    counts.failed += during.failed;
    if (during.failed > 0) wrong.push(`requests failed, though nothing was done that costs any: ${during.text}`);
  }
  const after = await quiet(world, disrupts);
  counts.requests += after.ok + after.failed;
  counts.failed += after.failed;
  if (after.failed > 0) wrong.push(`requests failed in a quiet moment: ${after.text}`);
  if (after.silent !== '') wrong.push(`nobody answered in a quiet moment: ${after.silent}`);
  return wrong;
}

export async function runChaos({ seed, seconds, say }: ChaosOptions): Promise<ChaosReport> {
  const world = await createWorld();
  const counts = { requests: 0, failed: 0 };
  let n = 0;
  try {
    const begin = performance.now();
    const first = await settle(world);
    if (first !== undefined) return { rounds: 0, ...counts, wrong: [`before anything was done: ${first}`] };
    for (; n === 0 || performance.now() - begin < seconds * 1000; n++) {
      const round = roundOf(seed, n);
      const names = round.actions.map(({ action }) => action.name).join('; ');
      const wrong = await playRound(world, round, counts);
      say(`${Math.round((performance.now() - begin) / 1000)} s, round ${n}: ${names}${wrong.length === 0 ? '' : ' ✗'}`);
      if (wrong.length > 0) {
        const log = world.agent?.logs.slice(-30).map((line) => JSON.stringify(line)) ?? [];
        return {
          rounds: n + 1,
          ...counts,
          wrong: [...wrong.map((text) => `SEED=${seed}, round ${n} (${names}): ${text}`), ...log],
        };
      }
    }
    return { rounds: n, ...counts, wrong: [] };
  } finally {
    await world.destroy();
  }
}
