/** Makes a failing case small: fewer actions, then objects with fewer items and fields, then fewer settings. */
import type { Action, Case, Probe } from './case.ts';
import type { Failure } from './run/run-case.ts';

/** Without these an object is another one, or none that an API server would take. */
const NEEDED = new Set(
  'apiVersion kind metadata namespace name labels spec ports type clusterIP clusterIPs ipFamilies port addressType addresses creationTimestamp'.split(
    ' ',
  ),
);
/** What is chosen at random may look right by chance. */
const ATTEMPTS = 6;

export interface Shrunk {
  readonly case: Case;
  readonly failure: Failure;
}

type Run = (given: Case) => Promise<Failure | undefined>;

/** @param milliseconds to spend at most */
export async function shrink(first: Shrunk, run: Run, milliseconds = 20_000): Promise<Shrunk> {
  const deadline = performance.now() + milliseconds;
  let best = first;

  /** Takes the smaller case when it fails in the same way. */
  async function accept(smaller: Case): Promise<boolean> {
    for (let i = 0; i < ATTEMPTS && performance.now() < deadline; i++) {
      const failure = await run(smaller);
      if (failure?.what !== first.failure.what) continue;
      best = { case: { ...smaller, actions: smaller.actions.slice(0, failure.action + 1) }, failure };
      return true;
    }
    return false;
  }

  await accept({ ...best.case, actions: best.case.actions.slice(0, best.failure.action + 1) });
  await accept({ ...best.case, actions: onlyLastProbe(best.case.actions) });
  for (let before = ''; before !== JSON.stringify(best.case) && performance.now() < deadline; ) {
    before = JSON.stringify(best.case);
    await dropActions(() => best.case, accept);
    await dropParts(() => best.case, accept);
  }
  return best;
}

function onlyLastProbe(actions: readonly Action[]): Action[] {
  const last = actions.at(-1);
  const kept = actions.filter((action) => !('probe' in action) || action === last);
  return kept.map((action) =>
    'probe' in action && action === last ? { probe: { ...action.probe, thorough: true } as Probe } : action,
  );
}

async function dropActions(best: () => Case, accept: (smaller: Case) => Promise<boolean>): Promise<void> {
  for (let size = Math.ceil(best().actions.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = best().actions.length - size; at >= 0; at -= size) {
      const { actions } = best();
      await accept({ ...best(), actions: [...actions.slice(0, at), ...actions.slice(at + size)] });
    }
  }
}

type Path = readonly (string | number)[];

/** Every item and field that may go, the large ones first. */
function removable(value: unknown, path: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [];
  const keys = Array.isArray(value) ? value.map((_, i) => i).reverse() : Object.keys(value);
  const fixed = path.includes('service') && ['clusterIPs', 'ipFamilies'].includes(String(path.at(-1)));
  const own = fixed ? [] : keys.filter((key) => !NEEDED.has(String(key))).map((key) => [...path, key]);
  const inner = keys.flatMap((key) => removable((value as Record<string | number, unknown>)[key], [...path, key]));
  return [...own, ...inner];
}

function remove<T>(value: T, [key, ...rest]: Path): T {
  if (key === undefined) return value;
  const copy = (Array.isArray(value) ? [...value] : { ...value }) as Record<string | number, unknown>;
  if (rest.length > 0) copy[key] = remove(copy[key], rest);
  else if (Array.isArray(copy)) copy.splice(Number(key), 1);
  else delete copy[key];
  return copy as T;
}

async function dropParts(best: () => Case, accept: (smaller: Case) => Promise<boolean>): Promise<void> {
  for (const path of removable(best().configuration)) {
    if (lookup(best().configuration, path) === undefined) continue;
    await accept({ ...best(), configuration: remove(best().configuration, path) });
  }
  for (let i = best().actions.length - 1; i >= 0; i--) {
    const name = Object.keys(best().actions[i] ?? {})[0] ?? '';
    const paths = removable((best().actions[i] as unknown as Record<string, unknown>)[name], [name]);
    for (const path of paths.filter((path) => name !== 'probe' || ['thorough', 'answer'].includes(String(path[1])))) {
      const { actions } = best();
      const around = lookup(actions[i], path.slice(0, -1));
      const list = path.at(-2);
      const kept = list === 'addresses' || (list === 'ports' && name === 'service');
      const last = kept && Array.isArray(around) && around.length === 1;
      if (last || lookup(actions[i], path) === undefined) continue;
      await accept({ ...best(), actions: actions.map((action, j) => (j === i ? remove(action, path) : action)) });
    }
  }
}

function lookup(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((at, key) => (at as Record<string | number, unknown> | undefined)?.[key], value);
}
