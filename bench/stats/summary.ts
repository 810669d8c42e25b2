/** Statistics of repeated measurements: small samples, so medians and ranges. */

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** How many values. */
  readonly n: number;
}

/** Linear between the two nearest values. @param q 0…1 @throws Error for no values */
export function quantile(values: readonly number[], q: number): number {
  if (values.length === 0) throw new Error('take a quantile: there are no values');
  const sorted = [...values].sort((a, b) => a - b);
  const at = q * (sorted.length - 1);
  const low = sorted[Math.floor(at)] as number;
  const high = sorted[Math.ceil(at)] as number;
  return low + (high - low) * (at - Math.floor(at));
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** @throws Error for no values */
export function spread(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values), n: values.length };
}

/**
 * Ratios of two competitors measured in turn, A B A B …: each value is divided by that of the same
 * round, so that what disturbs the machine for a while disturbs both.
 * @throws Error when a divisor is 0 or there are no pairs
 */
export function pairedRatios(values: readonly number[], base: readonly number[]): number[] {
  return values.slice(0, base.length).map((value, round) => {
    const divisor = base[round] as number;
    if (divisor === 0) throw new Error(`divide round ${round}: the base is 0`);
    return value / divisor;
  });
}

/** xorshift32: the same numbers in every run. */
export function createRandom(seed = 2463534242): () => number {
  let x = seed;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    x >>>= 0;
    return x / 2 ** 32;
  };
}

export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** Bootstrap interval of the median, by percentiles: resampled with replacement, the same way in every run. */
export function bootstrapMedian(values: readonly number[], confidence = 0.95, resamples = 2000): Interval {
  if (values.length === 0) throw new Error('bootstrap a median: there are no values');
  const random = createRandom();
  const medians = Array.from({ length: resamples }, () =>
    median(values.map(() => values[Math.floor(random() * values.length)] as number)),
  );
  return { low: quantile(medians, (1 - confidence) / 2), high: quantile(medians, (1 + confidence) / 2) };
}

/** Is the interval so narrow that more rounds would say little? @param width of the whole interval, in parts of the median */
export function isNarrow({ low, high, median: middle }: Interval & Pick<Spread, 'median'>, width: number): boolean {
  return high - low <= width * middle;
}

/** What an interval says of a limit. */
export type Decision = boolean | 'not decided';

/** @param more whether at least the limit is wanted, else at most */
export function decide({ low, high }: Interval, limit: number, more: boolean): Decision {
  const [worst, best] = more ? [low, high] : [-high, -low];
  const wanted = more ? limit : -limit;
  if (worst >= wanted) return true;
  return best < wanted ? false : 'not decided';
}

/** Of several, all of which are wanted. */
export function decideAll(decisions: readonly Decision[]): Decision {
  if (decisions.includes(false)) return false;
  return decisions.includes('not decided') ? 'not decided' : true;
}

export interface Comparison extends Spread, Interval {}

/** The ratio to a base: median of the rounds' ratios, their range and the bootstrap interval of the median. */
export function compareRounds(values: readonly number[], base: readonly number[]): Comparison {
  const ratios = pairedRatios(values, base);
  return { ...spread(ratios), ...bootstrapMedian(ratios) };
}
