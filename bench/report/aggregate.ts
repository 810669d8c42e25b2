/** Samples put together: by metric, size and competitor, with ratios to a base. */
import type { PartName } from '../competitors/competitor.ts';
import { type Comparison, compareRounds, type Spread, spread } from '../stats/summary.ts';
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
