/** Choices that a seed repeats. */
import type { Random } from '../../support/packet/random.ts';

export interface Choose extends Random {
  /** One of the values, each as often as it is listed; `undefined` may be among them. */
  one<T>(...values: readonly T[]): T;
  /** Up to `most` different ones, in their order. */
  some<T>(from: readonly T[], most: number): T[];
  /** From `least` to `most`, both included. */
  between(least: number, most: number): number;
}

export function choose(random: Random): Choose {
  return {
    ...random,
    one: (...values) => random.pick(values),
    some(from, most) {
      const count = Math.min(from.length, random.below(most + 1));
      const left = from.map((_, i) => i);
      const taken = Array.from({ length: count }, () => left.splice(random.below(left.length), 1)[0] ?? 0);
      return taken.sort((a, b) => a - b).map((i) => from[i] as (typeof from)[number]);
    },
    between: (least, most) => least + random.below(most - least + 1),
  };
}

/** Leaves out what is undefined: as the API server prints objects. */
export function without<T extends object>(object: T): T {
  return JSON.parse(JSON.stringify(object)) as T;
}
