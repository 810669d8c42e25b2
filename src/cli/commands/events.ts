/** `sluice events`: what was put in force, when and why; and how a Service stood at a time. */
import { Command } from 'commander';
import { bpfRootOption, type CliContext, withMaps } from '../context.ts';
import { EXIT_FAILED, EXIT_OK, usageError } from '../errors.ts';
import { addFilters, type FilterFlags, filterOf } from '../filter.ts';
import { compareBy, endpoint } from '../format.ts';
import { addOutput, formatObject, type OutputFlags, printList } from '../output.ts';
import { type Column, renderTable } from '../table.ts';
import { latencyText, momentText, parseMoment } from '../time.ts';
import { type EventRow, readEvents } from '../views/events.ts';
import { matchesService, type ServiceFilter } from '../views/names.ts';
import { type PastBackend, type PastFrontend, type PastPort, readPast } from '../views/past.ts';
import { positive } from './positive.ts';

export const EVENT_COLUMNS: readonly Column<EventRow>[] = [
  { header: 'TIME', value: (row) => momentText(Date.parse(row.time)) },
  { header: 'SERVICE', value: (row) => (row.name === '' ? '' : `${row.namespace}/${row.name}`) },
  { header: 'PORT', value: (row) => row.port },
  { header: 'PROTO', value: (row) => row.protocol, wide: true },
  { header: 'FAMILY', value: (row) => row.family, wide: true },
  { header: 'OBJECT', value: (row) => row.object },
  { header: 'VERSION', value: (row) => row.version },
  { header: 'LATENCY', value: (row) => latencyText(row.latencyMs), right: true },
  { header: 'AGENT', value: (row) => latencyText(row.agentMs), wide: true, right: true },
  { header: 'CHANGE', value: (row) => row.change },
];

const FRONTEND_COLUMNS: readonly Column<PastFrontend>[] = [
  { header: 'FRONTEND', value: (row) => endpoint(row.address, row.port) },
  { header: 'TYPE', value: (row) => row.types.join(',') },
  {
    header: 'NOTES',
    value: (row) => [...(row.affinitySeconds > 0 ? [`affinity=${row.affinitySeconds}s`] : []), ...row.traits].join(','),
  },
];

const BACKEND_COLUMNS: readonly Column<PastBackend>[] = [
  { header: 'BACKEND', value: (row) => endpoint(row.address, row.port) },
  { header: 'STATE', value: (row) => row.state },
  { header: 'LOCAL', value: (row) => (row.local ? 'yes' : 'no') },
  { header: 'LISTS', value: (row) => row.lists.join(',') },
];

const HELP = `
Columns:
  OBJECT    what the change came from; nothing when that is no object of the Service: the node, another Service, or a
            change that was found when the agent started
  VERSION   the object's resourceVersion
  LATENCY   from the change of the endpoints at the API to the kernel; nothing where the API does not say when that was
  AGENT     from the agent's hearing of it to the kernel
  CHANGE    serving 2 → 1 is how many backends new connections may be given; "none: refuse" and "none: drop" are what
            becomes of them without
Times: 10:37 (the last one that has been), 5m (ago), 2026-05-01T10:37:00Z.
The history is 1 MiB in the kernel, some 3,000 changes; it outlives the agent, not the node. The oldest go first.
`;

type Flags = FilterFlags & OutputFlags & { bpfRoot: string; since?: string; at?: string; limit?: number; watch?: true };

const INTERVAL_MS = 1000;

export function eventsCommand(context: CliContext): Command {
  const command = new Command('events')
    .alias('event')
    .description('show what was put in force, when, and what it came from; with --at how a Service stood then')
    .argument('[service]', 'only this Service: name or namespace/name');
  return addOutput(addFilters(command))
    .option('--since <time>', 'only changes since then')
    .option('--limit <rows>', 'only the last so many', positive)
    .option('-w, --watch', 'go on to print what changes, looked for once a second')
    .option('--at <time>', 'print the state of the Service at that time instead')
    .addOption(bpfRootOption())
    .addHelpText('after', HELP)
    .action(async (name: string | undefined, flags: Flags) => {
      const filter = filterOf(name, flags);
      if (flags.at === undefined) return context.exit(await listEvents(context, flags, filter));
      for (const other of ['since', 'limit', 'watch'] as const)
        if (flags[other] !== undefined) throw usageError(`--at and --${other} exclude each other`);
      if (filter.name === undefined)
        throw usageError('--at: name a Service, e.g. sluice events --at 10:37 shop/reviews');
      const at = parseMoment(flags.at, '--at', context.now());
      context.exit(await printPast(context, flags, filter, at));
    });
}

async function listEvents(context: CliContext, flags: Flags, filter: ServiceFilter): Promise<number> {
  const since = flags.since === undefined ? undefined : parseMoment(flags.since, '--since', context.now());
  const all = filter.name === undefined && filter.namespace === undefined;
  const wanted = (row: EventRow) =>
    (since === undefined || row.record.at >= since) && (all || matchesService(filter, row));
  const read = (after?: bigint) =>
    withMaps(context, flags.bpfRoot, async (maps) => readEvents(maps.history.view, after).filter(wanted));
  const options = {
    format: flags.output,
    columns: EVENT_COLUMNS,
    compare: compareBy<EventRow>((row) => row.record.at),
    nameOf: (row: EventRow) => `${row.namespace}/${row.name}`,
    sortedRows: Infinity,
  };
  const rows = await read();
  const shown = flags.limit === undefined ? rows : rows.slice(-flags.limit);
  await printList(context.out, shown, { ...options, headers: flags.headers });
  if (shown.length === 0) await context.err.write('nothing has changed, as far as the history goes back\n');
  let last = rows.at(-1)?.position;
  while (flags.watch && (await context.wait(INTERVAL_MS))) {
    const fresh = await read(last === undefined ? undefined : BigInt(last));
    if (fresh.length === 0) continue;
    await printList(context.out, fresh, { ...options, headers: flags.headers && last === undefined });
    last = fresh.at(-1)?.position;
  }
  return EXIT_OK;
}

async function printPast(context: CliContext, flags: Flags, filter: ServiceFilter, at: number): Promise<number> {
  const { ports, begins } = await withMaps(context, flags.bpfRoot, async (maps) => {
    const events = readEvents(maps.history.view);
    const records = events.map(({ record }) => record);
    return { ports: readPast(maps, records, filter, at), begins: records[0]?.at };
  });
  const name = [filter.namespace, filter.name].filter(Boolean).join('/');
  if (begins === undefined || at < begins) {
    const since = begins === undefined ? 'nothing is written down yet' : `the history begins at ${momentText(begins)}`;
    await context.err.write(`sluice: how ${name} stood at ${momentText(at)} is not known: ${since}\n`);
    return EXIT_FAILED;
  }
  const past = { at: new Date(at).toISOString(), service: name, ports };
  await context.out.write(formatObject(past, flags.output) ?? ports.map(pastText).join('\n'));
  if (ports.length === 0) await context.err.write(`sluice: ${name} had no frontends at ${momentText(at)}\n`);
  if (ports.some(({ complete }) => !complete))
    await context.err.write('! more changed at once since then than is written down: some of this may be wrong\n');
  return ports.length > 0 ? EXIT_OK : EXIT_FAILED;
}

function pastText(row: PastPort): string {
  const { inside, outside } = row.serving;
  const count = (number: number) => (number === 0 ? 'none' : String(number));
  const serving = inside === outside ? count(inside) : `${count(inside)} inside, ${count(outside)} outside`;
  const port = row.port === '' ? '' : `:${row.port}`;
  return [
    `${row.namespace}/${row.name}${port} ${row.protocol} ${row.family}, serving: ${serving}\n`,
    renderTable(FRONTEND_COLUMNS, row.frontends),
    ...(row.backends.length === 0 ? [] : [renderTable(BACKEND_COLUMNS, row.backends)]),
  ].join('');
}
