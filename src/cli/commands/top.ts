/** `sluice top`: which Service is busy, and which one hurts. */
import { Command, Option } from 'commander';
import { readSignals } from '../../bpf/signals.ts';
import { bpfRootOption, type CliContext, withMaps } from '../context.ts';
import { EXIT_OK } from '../errors.ts';
import { addFilters, type FilterFlags, filterOf } from '../filter.ts';
import { addOutput, type OutputFlags, printList } from '../output.ts';
import type { Column } from '../table.ts';
import { matchesService, readNames } from '../views/names.ts';
import { TOP_SORTS, type TopRow, type TopSample, type TopSort, topRows } from '../views/top.ts';
import { createTrafficReader } from '../views/traffic.ts';
import { positive } from './positive.ts';

const rate = (count: number, seconds: number | undefined) =>
  seconds === undefined ? String(count) : `${short(count / seconds)}/s`;
/** e.g. `0`, `3.2`, `48`, `12k`, `3.4M` */
function short(value: number): string {
  const [scaled, unit] = value < 10_000 ? [value, ''] : value < 10_000_000 ? [value / 1e3, 'k'] : [value / 1e6, 'M'];
  return `${scaled > 0 && scaled < 9.95 ? scaled.toFixed(1) : Math.round(scaled)}${unit}`;
}
const count = (header: string, of: (row: TopRow) => number): Column<TopRow> => ({
  header,
  value: (row) => rate(of(row), row.seconds),
  right: true,
});

const COLUMNS: readonly Column<TopRow>[] = [
  { header: 'SERVICE', value: (row) => (row.name === '' ? '' : `${row.namespace}/${row.name}`) },
  { header: 'PORT', value: (row) => row.port },
  { header: 'PROTO', value: (row) => row.protocol },
  { header: 'FAMILY', value: (row) => row.family, wide: true },
  count('OPENED', (row) => row.opened),
  { header: 'OPEN', value: (row) => String(row.open), right: true },
  { header: 'HALF-OPEN', value: (row) => String(row.halfOpen), right: true },
  { header: 'SOCKETS', value: (row) => String(row.sockets), right: true },
  count('REFUSED', (row) => row.refused),
  count('DROPPED', (row) => row.dropped),
  count('FAILED', (row) => row.failed),
  { ...count('PACKETS-IN', (row) => row.packetsIn), wide: true },
  count('BYTES-IN', (row) => row.bytesIn),
  { ...count('PACKETS-OUT', (row) => row.packetsOut), wide: true },
  count('BYTES-OUT', (row) => row.bytesOut),
];

const HELP = `
Columns:
  OPENED      connections that were given a backend: flows, and calls of the socket hook
  OPEN        flows both of whose sides have spoken; HALF-OPEN: only one has
  SOCKETS     sockets that the socket hook pointed at a backend
  REFUSED     packets and calls that were refused: the Service has no usable endpoint
  DROPPED     packets that would have begun a flow, and were dropped
  FAILED      flows of TCP and SCTP that ended before both sides had spoken, counted when the agent clears them away
  BYTES-IN    from clients, BYTES-OUT: to them; of flows alone: packets of sockets are not seen
The first table counts since each Service is there, and bytes of the flows that there are; the next ones are rates. What a
flow carried after the last look before it ended is not in them.
On a terminal each table takes the place of the one before; else they follow one another.
`;

interface Flags extends FilterFlags, OutputFlags {
  bpfRoot: string;
  sort: TopSort;
  interval: number;
  count?: number;
  limit?: number;
  once?: true;
}

const TERMINAL_ROWS = 20;
const CLEAR = '\u001b[H\u001b[2J';

export function topCommand(context: CliContext): Command {
  return addOutput(addFilters(new Command('top')))
    .description('show the busiest Services, live: connections opened, open, refused, dropped, failed; bytes')
    .argument('[service]', 'only this Service: name or namespace/name')
    .addOption(new Option('--sort <column>', 'what comes first').choices(TOP_SORTS).default('opened'))
    .option('--interval <seconds>', 'time between two looks', positive, 2)
    .option('--count <tables>', 'end after so many', positive)
    .option('--limit <rows>', 'so many Services (default: 20 on a terminal, else all)', positive)
    .option('--once', 'one table, of what was counted so far')
    .addOption(bpfRootOption())
    .addHelpText('after', HELP)
    .action(async (name: string | undefined, flags: Flags) => {
      await top(context, name, flags);
      context.exit(EXIT_OK);
    });
}

async function top(context: CliContext, name: string | undefined, flags: Flags): Promise<void> {
  const filter = filterOf(name, flags);
  const live = context.terminal && (flags.output.kind === 'table' || flags.output.kind === 'wide');
  const tables = flags.once ? 1 : flags.count;
  const limit = flags.limit ?? (live ? TERMINAL_ROWS : undefined);
  await withMaps(context, flags.bpfRoot, async (maps) => {
    const traffic = createTrafficReader(maps);
    const ended = context.interruption();
    let before: TopSample | undefined;
    for (let printed = 1; ; printed++) {
      const sample: TopSample = {
        names: readNames(maps.servicePorts.entries()),
        signals: readSignals(maps.serviceSignals),
        traffic: traffic(),
        at: context.now(),
      };
      const rows = topRows(sample, before, flags.sort).filter((row) => matchesService(filter, row));
      if (live && !flags.once) await context.out.write(CLEAR);
      await printList(context.out, rows.slice(0, limit), {
        format: flags.output,
        headers: flags.headers,
        columns: COLUMNS,
        // As they are.
        compare: () => 0,
        nameOf: (row) => `${row.namespace}/${row.name}`,
        sortedRows: Infinity,
      });
      if (rows.length === 0) await context.err.write('nothing was asked of a Service yet\n');
      before = sample;
      if (printed === tables || ended.aborted || !(await context.wait(flags.interval * 1000)) || ended.aborted) return;
      if (!live && flags.output.kind === 'table') await context.out.write('\n');
    }
  });
}
