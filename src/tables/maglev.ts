/**
 * Maglev's table (Eisenbud et al., NSDI 2016, 3.4): every backend has a permutation of the places and takes the next
 * free one of it in turn. A backend that leaves gives its places to the others, and few others move.
 */

/**
 * Primes. With a hundred places or more for each backend less than 2 % of what the others have moves when one leaves
 * (measured: test/unit/tables/choice.test.ts). Two sizes only: from one to the other nearly everything moves.
 */
const SIZE = 16_381;
const LARGE = 65_521;
const MANY = 128;

/** FNV-1a, then mixed so that similar names lie far apart. The same on every machine. */
export function hash32(text: string, seed = 0): number {
  let hash = 0x811c9dc5 ^ seed;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

export function maglevSize(backends: number): number {
  return backends > MANY ? LARGE : SIZE;
}

/**
 * @param names of backends, in an order that is the same on every node
 * @param weights a backend of twice the weight takes places twice as often
 * @returns the index of a name for each place
 */
export function maglevTable(names: readonly string[], weights: readonly number[]): number[] {
  const size = maglevSize(names.length);
  const table = new Array<number>(size).fill(-1);
  const at = names.map((name) => hash32(name, 1) % size);
  const skip = names.map((name) => (hash32(name, 2) % (size - 1)) + 1);
  for (const i of turnsOf(weights, size)) {
    let place = at[i] ?? 0;
    const step = skip[i] ?? 1;
    while (table[place] !== -1) place = (place + step) % size;
    table[place] = i;
    at[i] = (place + step) % size;
  }
  return table;
}

/** @returns so many turns: one after the other where weights are equal, else each as often as its weight says. */
function turnsOf(weights: readonly number[], turns: number): number[] {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const all = weights.flatMap((weight, i) => {
    const most = Math.ceil((turns * weight) / total) + 1;
    return Array.from({ length: most }, (_, turn) => ({ i, due: (turn + 0.5) / weight }));
  });
  all.sort((a, b) => a.due - b.due || a.i - b.i);
  return all.slice(0, turns).map(({ i }) => i);
}
