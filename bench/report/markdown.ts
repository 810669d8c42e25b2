/** The report of a run. */
import type { PartName } from '../competitors/competitor.ts';
import { aggregate, BASES, type Cell, type Row } from './aggregate.ts';
import { formatNumber, formatRatio, table } from './format.ts';
import { METRICS, type Results } from './results.ts';
import { judge, type Verdict } from './targets.ts';

const PARTS: Readonly<Record<PartName, string>> = {
  connect: 'New connections from a pod to a cluster address',
  established: 'Established connections',
  northsouth: 'From outside through a NodePort',
  packet: 'Cost of a packet',
  control: 'Control plane',
  spread: 'Spread of load, and a backend that leaves',
};

/** Above this share of all cores used by other things, absolute figures are not to be trusted. */
const QUIET = 0.05;

export function machineLine({ machine, background }: Pick<Results, 'machine' | 'background'>): string {
  const governor = machine.governor === undefined ? 'governor not known' : `governor ${machine.governor}`;
  const quiet = background <= QUIET ? 'otherwise idle' : `${Math.round(background * 100)} % busy with other things`;
  return `${machine.cpu}, ${machine.cores} cores${machine.virtual ? ' of a virtual machine' : ''}, ${machine.memoryGiB} GiB, Linux ${machine.kernel}, ${governor}, ${quiet}; ${machine.clang}, Node.js ${machine.node}`;
}

function cellText(cell: Cell, withRatio: boolean): string {
  const value =
    cell.n > 1
      ? `${formatNumber(cell.median)} (${formatNumber(cell.min)}–${formatNumber(cell.max)})`
      : formatNumber(cell.median);
  if (!withRatio || cell.ratio === undefined) return value;
  const { median, low, high } = cell.ratio;
  return `${value}; **${formatRatio(median)}** [${formatRatio(low)}–${formatRatio(high)}]`;
}

/** One table a metric: a column a competitor, a line a size. */
function metricTable(metric: string, rows: readonly Row[]): string {
  const names = [...new Set(rows.flatMap((row) => row.cells.map(({ competitor }) => competitor)))];
  const { title, unit, better } = METRICS[metric] ?? { title: metric, unit: '', better: 'more' };
  const lines = rows.map(({ size, cells }) => [
    formatNumber(size),
    ...names.map((name) => {
      const cell = cells.find(({ competitor }) => competitor === name);
      return cell === undefined ? '' : cellText(cell, true);
    }),
  ]);
  const head = unit === '' ? title : `${title} (${unit})`;
  return `**${head}**, ${better} is better\n\n${table(['Services', ...names], lines)}`;
}

export function verdictTable(verdicts: readonly Verdict[]): string {
  const word = ({ met }: Verdict) =>
    met === undefined ? '–' : met === 'not decided' ? met : met ? 'met' : '**missed**';
  return table(
    ['Target', 'Measured', ''],
    verdicts.map((verdict) => [verdict.target, verdict.measured, word(verdict)]),
  );
}

/** @param plots file names of the part's plots */
export function markdownReport(results: Results, plots: ReadonlyMap<PartName, readonly string[]>): string {
  const rows = aggregate(results.samples);
  const section = (part: PartName): string[] => {
    const ours = rows.filter((row) => row.part === part);
    if (ours.length === 0) return [];
    const base = BASES[part];
    const metrics = [...new Set(ours.map(({ metric }) => metric))];
    return [
      `## ${PARTS[part]}`,
      base === undefined ? '' : `Bold: the ratio to ${base}, round by round: median and its 95 % bootstrap interval.`,
      ...(plots.get(part) ?? []).map((file) => `![${PARTS[part]}](${file})`),
      ...metrics.map((metric) =>
        metricTable(
          metric,
          ours.filter((row) => row.metric === metric),
        ),
      ),
    ];
  };
  const labels = results.competitors.map(({ name, label }) => [name, label]);
  const notRun = results.notRun.map(({ part, competitor, why }) => [competitor, part, why]);
  return [
    `# Benchmark of ${results.startedAt.slice(0, 10)}, Linux ${results.machine.kernel}`,
    `${machineLine(results)}. Commit ${results.machine.commit}. ${results.minutes} minutes${results.quick ? ', the quick form: few and short rounds' : ''}.`,
    results.background > QUIET
      ? '**The machine was not idle. Ratios are taken side by side and hold to their intervals; absolute figures, CPU times and percentiles beyond the median do not.**'
      : '',
    'Values are medians of the rounds with (lowest–highest). The method, and why targets are missed: docs/benchmarks.md.',
    '## Targets',
    verdictTable(judge(results)),
    '## Who takes part',
    table(['Name', 'What'], labels),
    notRun.length === 0 ? '' : `Not run:\n\n${table(['Name', 'Part', 'Why'], notRun)}`,
    ...section('connect'),
    ...section('established'),
    ...section('northsouth'),
    ...packetSection(results),
    ...section('control'),
    ...section('spread'),
  ]
    .filter((text) => text !== '')
    .join('\n\n')
    .concat('\n');
}

function packetSection({ packet, callNanoseconds }: Results): string[] {
  if (packet === undefined || packet.length === 0) return [];
  const rows = packet.map(({ program, path, nanoseconds, lookups, writes, instructions }) => [
    program,
    path,
    `${formatNumber(nanoseconds.median)} (${formatNumber(nanoseconds.min)}–${formatNumber(nanoseconds.max)})`,
    lookups === undefined ? '' : String(lookups),
    writes === undefined ? '' : String(writes),
    instructions === undefined ? '' : formatNumber(instructions),
  ]);
  return [
    `## ${PARTS.packet}`,
    `By BPF_PROG_TEST_RUN through a wrapper that restores the packet first; its own time is subtracted. Lookups and writes
are those of tables, instructions those of the whole program after verification.${
      callNanoseconds === undefined
        ? ''
        : ` A call of an empty function and its return cost ${callNanoseconds.toFixed(1)} ns on this machine.`
    }`,
    table(['Program', 'Path', 'ns a packet', 'Lookups', 'Writes', 'Instructions'], rows),
  ];
}
