/** What a run was asked for, by environment: PARTS, SIZES, COMPETITORS, ROUNDS, SECONDS, OUT. */
import type { PartName } from './competitors/competitor.ts';
import type { Plan } from './parts/context.ts';

export const PARTS: readonly PartName[] = ['packet', 'connect', 'established', 'northsouth', 'control', 'spread'];
const QUICK_PARTS: readonly PartName[] = ['packet', 'connect', 'established', 'northsouth'];

export interface BenchOptions {
  readonly parts: readonly PartName[];
  readonly plan: Plan;
  /** Numbers of Services for the control plane. */
  readonly controlSizes: readonly number[];
  /** Directory of the results. */
  readonly out: string;
  /** Everything was measured, in full: fit for the README. */
  readonly complete: boolean;
}

function numbers(text: string | undefined): number[] | undefined {
  if (!text) return undefined;
  const list = text.split(',').map(Number);
  const wrong = list.find((value) => !Number.isInteger(value) || value < 1);
  if (wrong !== undefined) throw new Error(`read SIZES=${text}: whole numbers from 1, separated by commas`);
  return list.sort((a, b) => a - b);
}

/** @throws Error for an unknown part or a size that is none */
export function readOptions(environment: NodeJS.ProcessEnv, quick: boolean): BenchOptions {
  const wanted = environment.PARTS ? environment.PARTS.split(',') : quick ? QUICK_PARTS : PARTS;
  const unknown = wanted.find((part) => !PARTS.includes(part as PartName));
  if (unknown !== undefined) throw new Error(`read PARTS: there is no ${unknown}; there are ${PARTS.join(', ')}`);
  const sizes = numbers(environment.SIZES);
  return {
    parts: PARTS.filter((part) => wanted.includes(part)),
    plan: {
      sizes: sizes ?? (quick ? [1000] : [1, 100, 1000, 10_000, 30_000]),
      rounds: Number(environment.ROUNDS ?? (quick ? 3 : 7)),
      seconds: Number(environment.SECONDS ?? (quick ? 0.3 : 1)),
      quick,
    },
    controlSizes: sizes ?? (quick ? [1000] : [100, 1000, 5000, 10_000, 50_000]),
    out: environment.OUT ?? 'bench/results',
    complete: !quick && wanted.length === PARTS.length && sizes === undefined && !environment.COMPETITORS,
  };
}
