/** Samples put together: by metric, size and competitor, with ratios to a base. */
import type { PartName } from '../competitors/competitor.ts';
import { type Comparison, compareRounds, isNarrow, type Spread, spread } from '../stats/summary.ts';
import type { Sample } from './results.ts';

export interface Cell extends Spread {
  readonly competitor: string;
  /** To the base of the part, round by round; undefined for the base itself or without one. */
  readonly ratio: Comparison | undefined;
}

export interface Row {
  readonly part: PartName;
  readonly metric: string;
  readonly size: number;
  readonly cells: readonly Cell[];
}

/** What ratios are taken to. */
export const BASES: Readonly<Partial<Record<PartName, string>>> = {
  connect: 'direct',
  established: 'direct',
  northsouth: 'iptables',
};

/** Values of a metric, size and competitor in the order of their rounds. */
export function valuesOf(
  samples: readonly Sample[],
  metric: string,
  size: number | undefined,
  competitor: string,
): number[] {
  return samples
    .filter((s) => s.metric === metric && (size === undefined || s.size === size) && s.competitor === competitor)
    .sort((a, b) => a.round - b.round)
    .map(({ value }) => value);
}

/** Whole width of an interval, in parts of the ratio, that is narrow enough to be judged. */
const NARROW = 0.06;

/** Are the ratios of all competitors to the base of the part known well enough? True where there is no base. */
export function ratiosAreNarrow(samples: readonly Sample[], part: PartName, metric: string, size: number): boolean {
  const of = samples.filter((s) => s.metric === metric && s.size === size);
  const base = valuesOf(of, metric, size, BASES[part] ?? '');
  if (base.length === 0 || base.includes(0)) return true;
  return distinct(of.map((s) => s.competitor))
    .filter((name) => name !== BASES[part])
    .every((name) => isNarrow(compareRounds(valuesOf(of, metric, size, name), base), NARROW));
}

const distinct = <T>(values: readonly T[]): T[] => [...new Set(values)];

/** In the order in which metrics, sizes and competitors first appear. */
export function aggregate(samples: readonly Sample[]): Row[] {
  const rows: Row[] = [];
  for (const metric of distinct(samples.map((s) => s.metric))) {
    const ofMetric = samples.filter((s) => s.metric === metric);
    const part = ofMetric[0]?.part as PartName;
    for (const size of distinct(ofMetric.map((s) => s.size))) {
      const base = valuesOf(ofMetric, metric, size, BASES[part] ?? '');
      const names = distinct(ofMetric.filter((s) => s.size === size).map((s) => s.competitor));
      const cells = names.map((competitor) => {
        const values = valuesOf(ofMetric, metric, size, competitor);
        const comparable = base.length > 0 && competitor !== BASES[part] && !base.includes(0);
        return { competitor, ...spread(values), ratio: comparable ? compareRounds(values, base) : undefined };
      });
      rows.push({ part, metric, size, cells });
    }
  }
  return rows;
}
