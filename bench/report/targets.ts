/** The targets, computed from the results: met, or by how much not; not decided where the noise is larger than what is asked. */
import {
  bootstrapMedian,
  type Comparison,
  compareRounds,
  type Decision,
  decide,
  decideAll,
  median,
} from '../stats/summary.ts';
import { valuesOf } from './aggregate.ts';
import { formatNumber, formatRatio } from './format.ts';
import type { Results, Sample } from './results.ts';

export interface Verdict {
  readonly target: string;
  readonly measured: string;
  /** undefined: not measured in this run */
  readonly met: Decision | undefined;
}

const NOT_MEASURED = { measured: 'not measured', met: undefined };

function sizesOf(samples: readonly Sample[], metric: string): number[] {
  return [...new Set(samples.filter((s) => s.metric === metric).map(({ size }) => size))].sort((a, b) => a - b);
}

interface Ratio extends Comparison {
  readonly size: number;
}

function ratios(samples: readonly Sample[], metric: string, a: string, b: string): Ratio[] {
  return sizesOf(samples, metric).flatMap((size) => {
    const values = valuesOf(samples, metric, size, a);
    const base = valuesOf(samples, metric, size, b);
    return values.length === 0 || base.length === 0 ? [] : [{ size, ...compareRounds(values, base) }];
  });
}

/** Every size's ratio at least this. */
function everywhere(samples: readonly Sample[], a: string, b: string, least: number): Omit<Verdict, 'target'> {
  const found = ratios(samples, 'connect.rate', a, b);
  if (found.length === 0) return NOT_MEASURED;
  return {
    measured: found.map((ratio) => `${formatRatio(ratio.median)} at ${formatNumber(ratio.size)}`).join(', '),
    met: decideAll(found.map((ratio) => decide(ratio, least, true))),
  };
}

/** The rate at each size in parts of the direct one, so that the machine's mood is divided out. */
function flat(samples: readonly Sample[], competitor: string, within: number): Omit<Verdict, 'target'> {
  const found = ratios(samples, 'connect.rate', competitor, 'direct');
  if (found.length < 2) return NOT_MEASURED;
  const between = (least: readonly number[], most: readonly number[]) => 1 - Math.min(...least) / Math.max(...most);
  const [medians, lows, highs] = (['median', 'low', 'high'] as const).map((of) => found.map((ratio) => ratio[of]));
  const difference = between(medians ?? [], medians ?? []);
  // As small and as large as the intervals let it be.
  const interval = { low: between(highs ?? [], lows ?? []), high: between(lows ?? [], highs ?? []) };
  return {
    measured: `${(difference * 100).toFixed(1)} % between the best and the worst size`,
    met: decide(interval, within, false),
  };
}

function times(
  samples: readonly Sample[],
  metric: string,
  competitor: string,
  wanted: number,
  more: boolean,
): Omit<Verdict, 'target'> {
  const found = ratios(samples, metric, competitor, 'iptables')[0];
  if (found === undefined) return NOT_MEASURED;
  return { measured: `${formatRatio(found.median)}×`, met: decide(found, wanted, more) };
}

function atMost(
  samples: readonly Sample[],
  metric: string,
  size: number,
  limit: number,
  unit: string,
): Omit<Verdict, 'target'> {
  const values = valuesOf(samples, metric, size, 'sluice-socket');
  if (values.length === 0) return NOT_MEASURED;
  return { measured: `${formatNumber(median(values))} ${unit}`, met: decide(bootstrapMedian(values), limit, false) };
}

export function judge({ samples, packet }: Pick<Results, 'samples' | 'packet'>): Verdict[] {
  const verdicts: Verdict[] = [
    {
      target: 'socket hook: at least 0.97 of the direct connection rate at every size',
      ...everywhere(samples, 'sluice-socket', 'direct', 0.97),
    },
    { target: 'socket hook: never below iptables mode', ...everywhere(samples, 'sluice-socket', 'iptables', 1) },
    { target: 'socket hook: flat within 5 %', ...flat(samples, 'sluice-socket', 0.05) },
    {
      target: 'NodePort, backend elsewhere: XDP at least 3× the packet rate of iptables mode',
      ...times(samples, 'remote.packets', 'sluice-xdp', 3, true),
    },
    {
      target: 'NodePort, backend elsewhere: tc at least 1.5×',
      ...times(samples, 'remote.packets', 'sluice-tc', 1.5, true),
    },
    {
      target: 'NodePort, backend elsewhere: XDP, a lower p99 of connect()',
      ...times(samples, 'remote.p99', 'sluice-xdp', 1, false),
    },
    {
      target: 'NodePort, backend elsewhere: tc, a lower p99 of connect()',
      ...times(samples, 'remote.p99', 'sluice-tc', 1, false),
    },
    {
      target: '10,000 × 10 in force within 1.5 s of the last byte of the lists',
      ...atMost(samples, 'control.lists', 10_000, 1500, 'ms'),
    },
    {
      target: '50,000 × 5 in force within 6 s of the last byte',
      ...atMost(samples, 'control.lists', 50_000, 6000, 'ms'),
    },
    {
      target: 'one change in force within 5 ms (p99) at 10,000',
      ...atMost(samples, 'control.change-p99', 10_000, 5, 'ms'),
    },
    { target: '… while 20 others change a second', ...atMost(samples, 'control.busy-p99', 10_000, 5, 'ms') },
    {
      target: 'one change in force within 10 ms (p99) at 50,000',
      ...atMost(samples, 'control.change-p99', 50_000, 10, 'ms'),
    },
    { target: '… while 20 others change a second', ...atMost(samples, 'control.busy-p99', 50_000, 10, 'ms') },
    { target: 'at most 250 MiB resident at 10,000 × 10', ...atMost(samples, 'control.resident', 10_000, 250, 'MiB') },
  ];
  for (const { program, path, nanoseconds, limit } of packet ?? [])
    if (limit !== undefined)
      verdicts.push({
        target: `${program}, ${path}: at most ${limit} ns a packet`,
        measured: `${formatNumber(nanoseconds.median)} ns`,
        met: nanoseconds.median <= limit,
      });
  return verdicts;
}
