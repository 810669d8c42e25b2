/** `sluice monitor`: what happens, while it happens. */
import { Command } from 'commander';
import { type Address, parseAddress } from '../../model/address.ts';
import { bpfRootOption, type CliContext, withMaps } from '../context.ts';
import { EXIT_OK, usageError } from '../errors.ts';
import { type FilterFlags, filterOf } from '../filter.ts';
import { ALL_REASONS, parseReasons } from '../monitor-reasons.ts';
import { formatObject, type OutputFlags, outputOption } from '../output.ts';
import { type Column, createTable } from '../table.ts';
import { momentText } from '../time.ts';
import { createObserver, type MonitorRow, type Observed } from '../views/monitor.ts';
import { matchesService } from '../views/names.ts';
import { positive } from './positive.ts';

const COLUMNS: readonly Column<MonitorRow>[] = [
  { header: 'TIME', value: (row) => `${momentText(Date.parse(row.time)).slice(11)}${row.time.slice(19, 23)}` },
  { header: 'EVENT', value: (row) => row.event },
  { header: 'SERVICE', value: (row) => (row.name === '' ? '' : `${row.namespace}/${row.name}`) },
  { header: 'PORT', value: (row) => row.port, wide: true },
  { header: 'PROTO', value: (row) => row.protocol },
  { header: 'CLIENT', value: (row) => row.client },
  { header: 'FRONTEND', value: (row) => row.frontend },
  { header: 'BACKEND', value: (row) => row.backend },
  { header: 'BYTES', value: (row) => String(row.bytes), wide: true, right: true },
  { header: 'REASON', value: (row) => row.reason, wide: true },
  { header: 'WHY', value: (row) => row.meaning },
];

/** So wide are the columns at least: rows come one by one. */
const TYPICAL: MonitorRow = {
  time: '2026-05-01T10:37:02.000Z',
  event: 'refused',
  namespace: 'default',
  name: 'frontend',
  port: 'http',
  protocol: 'TCP',
  client: '192.168.100.100:40000',
  frontend: '10.100.100.100:443',
  backend: '10.244.100.100:8080',
  reason: 'REJECT_NO_BACKEND',
  meaning: '',
  bytes: 1500,
};

const HELP = `
Events:
  new       a backend was chosen for a connection, or for the first datagram to a frontend
  refused   the client was told that nothing answers
  dropped   the client was told nothing
  told      the sender was told that its packet is too long, or its hop limit reached
  evicted   a flow table was full: an entry was given up for a newer one
CLIENT is the process where the socket hook decides: its socket has no address yet.
--reason takes these words and the names of "sluice drops", e.g. --reason dropped,REJECT_NO_PORT.
--client takes an address, or the name of a process.
While it runs, packets that begin a flow or are refused or dropped cost a little more; others cost nothing, and when it has
ended, or was killed, nothing does. Only one can run at a time. What happened before it began, nobody has written down:
"sluice drops" has counted it.
`;

/** Milliseconds between two looks into the buffer, of 1 MiB: some 8,000 events. */
const INTERVAL_MS = 50;
/** Events a look: what is printed is waited for in between. */
const AT_ONCE = 1000;
/** Looks between two renewals, and words about what was lost. */
const LOOKS_A_RENEWAL = 20;

interface Flags extends FilterFlags, Pick<OutputFlags, 'output'> {
  bpfRoot: string;
  headers: boolean;
  service?: string;
  client?: string;
  reason?: bigint;
  sample: number;
  count?: number;
}

export function monitorCommand(context: CliContext): Command {
  return new Command('monitor')
    .description('show what happens while it happens: new flows, refusals, drops, evictions')
    .option('--service <service>', 'only of this Service: name or namespace/name')
    .option('-n, --namespace <namespace>', 'only of Services of this namespace')
    .option('--client <client>', 'only of this client: an address, or the name of a process')
    .option('--reason <reasons>', 'only these events or reasons, separated by commas', parseReasons)
    .option('--sample <n>', 'one event of so many, at random', positive, 1)
    .option('--count <events>', 'end after so many', positive)
    .addOption(outputOption())
    .option('--no-headers', 'a table without its first line')
    .addOption(bpfRootOption())
    .addHelpText('after', HELP)
    .action(async (flags: Flags) => {
      await monitor(context, flags);
      context.exit(EXIT_OK);
    });
}

function wantedOf(flags: Flags): (observed: Observed) => boolean {
  const filter = filterOf(flags.service, flags);
  const all = filter.name === undefined && filter.namespace === undefined;
  const { client } = flags;
  const address = client === undefined ? undefined : addressOf(client);
  return ({ row, clientAddress }) => {
    if (!all && !matchesService(filter, row)) return false;
    if (client === undefined) return true;
    return address === undefined ? row.process?.name === client : clientAddress === address;
  };
}

function addressOf(text: string): Address | undefined {
  const address = parseAddress(text);
  if (address === undefined && /[:/]|^[\d.]+$/.test(text))
    throw usageError(`--client: '${text}' is no address, and no name of a process`);
  return address;
}

async function monitor(context: CliContext, flags: Flags): Promise<void> {
  const wanted = wantedOf(flags);
  const print = printer(flags);
  const source = context.kernel.openEvents(flags.bpfRoot, {
    reasons: flags.reason ?? ALL_REASONS,
    oneIn: flags.sample,
  });
  try {
    await withMaps(context, flags.bpfRoot, async (maps) => {
      const ended = context.interruption();
      const { kernel } = context;
      const observe = createObserver(maps, (time) => context.now() - Number(kernel.monotonic() - time) / 1e6);
      await context.out.write(print.start);
      let shown = 0;
      let lost = 0;
      for (let looks = 1; ; looks++) {
        let text = '';
        const read = source.read(AT_ONCE, (event) => {
          const observed = observe(event);
          if (shown === flags.count || !wanted(observed)) return;
          text += print.row(observed.row);
          shown++;
        });
        await context.out.write(text);
        if (shown === flags.count || ended.aborted) break;
        if (looks % LOOKS_A_RENEWAL === 0) {
          source.renew();
          const lostNow = source.lost();
          if (lostNow > lost) await context.err.write(lostText(lostNow - lost));
          lost = lostNow;
        }
        if (read < AT_ONCE && !(await context.wait(INTERVAL_MS))) break;
      }
      if (source.lost() > lost) await context.err.write(lostText(source.lost() - lost));
    });
  } finally {
    source.close();
  }
}

const lostText = (events: number) =>
  `! ${events} events were lost: they came faster than they are printed; --reason and --sample make them fewer\n`;

function printer({ output, headers }: Flags): { readonly start: string; row(row: MonitorRow): string } {
  if (output.kind === 'table' || output.kind === 'wide') {
    const table = createTable(COLUMNS, output.kind === 'wide', [TYPICAL]);
    return { start: headers ? table.header : '', row: (row) => table.line(row) };
  }
  // One a line, so that it can be read as it comes.
  if (output.kind === 'json') return { start: '', row: (row) => `${JSON.stringify(row)}\n` };
  return { start: '', row: (row) => `${output.kind === 'yaml' ? '---\n' : ''}${formatObject(row, output) ?? ''}` };
}
