/** Two result files beside each other: what became worse by more than it varies. */
import { compareRounds, median } from '../stats/summary.ts';
import { aggregate, BASES, valuesOf } from './aggregate.ts';
import { formatNumber, table } from './format.ts';
import { METRICS, type Results } from './results.ts';

export interface Change {
  readonly metric: string;
  readonly size: number;
  readonly competitor: string;
  /** In A and in B: the ratio to the base where there is one, else the value. */
  readonly a: number;
  readonly b: number;
  /** B to A, larger is better. */
  readonly gain: number;
  readonly verdict: 'same' | 'better' | 'WORSE';
}

/** Differences below this are never called a change: two runs on one quiet machine differ by as much. */
const NOISE = 0.03;

interface Measured {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/** Ratios to the base: the machine's speed is divided out of them. */
function measure(
  { samples }: Pick<Results, 'samples'>,
  metric: string,
  size: number,
  competitor: string,
): Measured | undefined {
  const values = valuesOf(samples, metric, size, competitor);
  const part = samples.find((sample) => sample.metric === metric)?.part;
  if (values.length === 0 || part === undefined) return undefined;
  const baseName = BASES[part];
  const base = baseName === undefined ? [] : valuesOf(samples, metric, size, baseName);
  if (base.length === 0 || base.includes(0) || baseName === competitor)
    return { value: median(values), low: Math.min(...values), high: Math.max(...values) };
  const { median: value, low, high } = compareRounds(values, base);
  return { value, low, high };
}

/** Bases are not judged: they are not ours, and absolute. */
export function compareResults(a: Pick<Results, 'samples'>, b: Pick<Results, 'samples'>): Change[] {
  const changes: Change[] = [];
  for (const { metric, size, cells, part } of aggregate(b.samples)) {
    for (const { competitor } of cells) {
      if (!competitor.startsWith('sluice') || competitor === BASES[part]) continue;
      const before = measure(a, metric, size, competitor);
      const after = measure(b, metric, size, competitor);
      if (before === undefined || after === undefined) continue;
      const more = METRICS[metric]?.better !== 'less';
      const gain = gainOf(before.value, after.value, more);
      const apart = after.low > before.high || after.high < before.low;
      const verdict = !apart || Math.abs(gain - 1) < NOISE ? 'same' : gain > 1 ? 'better' : 'WORSE';
      changes.push({ metric, size, competitor, a: before.value, b: after.value, gain, verdict });
    }
  }
  return changes;
}

function gainOf(before: number, after: number, more: boolean): number {
  if (before === after) return 1;
  const [worse, better] = more ? [before, after] : [after, before];
  return worse === 0 ? Number.POSITIVE_INFINITY : better / worse;
}

export function compareReport(changes: readonly Change[]): string {
  const rank = { WORSE: 0, better: 1, same: 2 };
  const sorted = changes.toSorted((x, y) => rank[x.verdict] - rank[y.verdict]);
  return table(
    ['Metric', 'Services', 'Who', 'A', 'B', 'gain', ''],
    sorted.map(({ metric, size, competitor, a, b, gain, verdict }) => [
      metric,
      formatNumber(size),
      competitor,
      formatNumber(a),
      formatNumber(b),
      `${((gain - 1) * 100).toFixed(1)} %`,
      verdict,
    ]),
  );
}
