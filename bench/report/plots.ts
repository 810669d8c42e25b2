/** Which plots a report has. */
import type { PartName } from '../competitors/competitor.ts';
import { aggregate, type Row } from './aggregate.ts';
import { METRICS, type Results } from './results.ts';
import { barPlot, linePlot } from './svg.ts';

export interface Plot {
  readonly part: PartName;
  /** `connect-rate.svg` */
  readonly file: string;
  readonly svg: string;
}

const OVER_SIZES = [
  'connect.rate',
  'connect.p50',
  'connect.cpu',
  'http.rate',
  'udp.rate',
  'control.lists',
  'control.change-p99',
  'control.resident',
];
const BESIDE = ['stream.p50', 'bulk.rate', 'remote.rate', 'remote.packets', 'remote.packet-cpu', 'local.packets'];

export function drawPlots(results: Results): Plot[] {
  const rows = aggregate(results.samples);
  const plots: Plot[] = [];
  for (const metric of [...OVER_SIZES, ...BESIDE]) {
    const ours = rows.filter((row) => row.metric === metric);
    const [first] = ours;
    if (first === undefined) continue;
    const svg = OVER_SIZES.includes(metric) && ours.length > 1 ? overSizes(metric, ours) : beside(metric, first);
    plots.push({ part: first.part, file: `${metric.replace('.', '-')}.svg`, svg });
  }
  return plots;
}

function describe(metric: string): { title: string; unit: string } {
  return METRICS[metric] ?? { title: metric, unit: '' };
}

function overSizes(metric: string, rows: readonly Row[]): string {
  const { title, unit } = describe(metric);
  const names = [...new Set(rows.flatMap(({ cells }) => cells.map(({ competitor }) => competitor)))];
  const series = names.map((name) => ({
    name,
    points: rows.flatMap(({ size, cells }) =>
      cells
        .filter(({ competitor }) => competitor === name)
        .map(({ median, min, max }) => ({ x: size, y: median, low: min, high: max })),
    ),
  }));
  return linePlot({ title, xLabel: 'Services', yLabel: unit, series });
}

function beside(metric: string, { cells }: Row): string {
  const { title, unit } = describe(metric);
  const bars = cells.map(({ competitor, median, min, max }) => ({
    name: competitor,
    value: median,
    low: min,
    high: max,
  }));
  return barPlot({ title, yLabel: unit, bars });
}
