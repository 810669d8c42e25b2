/** `sluice explain`: what becomes of a packet or connection, and why. */
import { Command } from 'commander';
import type { Maps } from '../../bpf/open-maps.ts';
import { readReport } from '../../model/agent-report.ts';
import { cleanText } from '../../model/history.ts';
import { bpfRootOption, type CliContext, withMaps } from '../context.ts';
import { EXIT_OK } from '../errors.ts';
import { readDevices } from '../explain/client.ts';
import { explain } from '../explain/explain.ts';
import type { ExplainedBackend, Explanation } from '../explain/model.ts';
import { rehearse, whyNotRehearsed } from '../explain/rehearse.ts';
import { parseRequest } from '../explain/request.ts';
import { duration, endpoint } from '../format.ts';
import { orUndefined } from '../optional.ts';
import { formatObject, outputOption } from '../output.ts';
import type { OutputFormat } from '../output-format.ts';
import { type Column, renderTable } from '../table.ts';

const COLUMNS: readonly Column<ExplainedBackend>[] = [
  { header: 'BACKEND', value: (row) => endpoint(row.address, row.port) },
  { header: 'CHANCE', value: (row) => chanceText(row.chance), right: true },
  { header: 'LOCAL', value: (row) => (row.local ? 'yes' : 'no') },
  { header: 'LISTS', value: (row) => row.lists.join(',') },
  { header: 'PATH', value: (row) => row.path ?? '' },
  { header: 'SOURCE', value: (row) => row.sourceNat ?? (row.path === undefined ? '' : "client's") },
  { header: 'DEVICE', value: (row) => row.device ?? '' },
  { header: 'NEXT-HOP', value: (row) => row.gateway ?? '', wide: true },
  { header: 'WHY-SOURCE', value: (row) => row.whySource ?? '', wide: true },
  { header: 'WHY', value: (row) => (row.fails === undefined ? row.why : `! ${row.fails}; ${row.why}`) },
];

/** Backends that a table shows without -o wide. */
const SHOWN = 20;

const HELP = `
  --from  the client's address, with its port when a connection is meant that may be there already; "node": a process of
          this node. Names of pods are not in the kernel.
  --to    what it dials; without a protocol TCP.

Says which Service and port that is, which list of backends the client is given and why each backend is in it or out of
it, the chance of each, what decides beside chance, whose address the backend sees, and by which device packets leave; or
why they are refused or dropped, and what to do. For an address that no Service has: why not.
Columns:
  CHANCE    that a new connection gets the backend
  PATH      socket: connect() is pointed there; stack: by the routing of the node; redirect: sent out again at once;
            dsr: the backend answers the client directly
  SOURCE    what the backend sees as its client
The kernel's tables are read and nothing is sent. Rules of netfilter, and of a CNI, are not looked at.
`;

interface Flags {
  bpfRoot: string;
  output: OutputFormat;
  from: string;
  to: string;
  run?: true;
}

export function explainCommand(context: CliContext): Command {
  return new Command('explain')
    .description('say what becomes of a connection, and why')
    .requiredOption('--from <client>', 'who dials: an address, address:port, or node')
    .requiredOption('--to <address:port[/protocol]>', 'what it dials')
    .option(
      '--run',
      'let the real programs have the first packet too, with flow tables of their own: takes about a second',
    )
    .addOption(bpfRootOption())
    .addOption(outputOption())
    .addHelpText('after', HELP)
    .action(async (flags: Flags) => {
      const request = parseRequest(flags.from, flags.to);
      const { kernel } = context;
      const clock = request.from.port === undefined ? undefined : await kernel.readClock();
      const found = await withMaps(context, flags.bpfRoot, async (maps) => {
        const told = explain(
          {
            maps,
            knobs: kernel.readKnobs(flags.bpfRoot),
            report: orUndefined(() => readReport(maps.report.view)),
            routes: kernel.readRoutes,
            monotonic: kernel.monotonic(),
            clock,
          },
          request,
        );
        return flags.run ? ran(context, flags, maps, told) : told;
      });
      const { output } = flags;
      await context.out.write(formatObject(found, output) ?? render(found, output.kind === 'wide'));
      context.exit(EXIT_OK);
    });
}

/** @returns the same with what the programs did, or why they were not asked. */
async function ran(context: CliContext, flags: Flags, maps: Maps, told: Explanation): Promise<Explanation> {
  const { kernel } = context;
  const knobs = kernel.readKnobs(flags.bpfRoot);
  const why = knobs === undefined ? 'none is in force' : whyNotRehearsed(told);
  if (knobs === undefined || why !== undefined)
    return { ...told, notes: [...told.notes, `the programs were not run: ${why}`] };
  const { address } = told.from;
  const towards = kernel.readRoutes([...new Set(told.backends.map((backend) => backend.address))]);
  const route = address === undefined ? undefined : kernel.readRoutes([address]).get(address);
  const rehearsal = await kernel.createRehearsal(flags.bpfRoot, context.objectDirectory, knobs);
  try {
    return { ...told, run: rehearse(rehearsal, told, route, towards, readDevices(maps)) };
  } finally {
    rehearsal.close();
  }
}

function runText({ verdict, reason, left, agrees }: NonNullable<Explanation['run']>): string {
  const gone =
    left && ` as ${endpoint(left.source, left.sourcePort)} > ${endpoint(left.destination, left.destinationPort)}`;
  const what = `${verdict}${reason && ` (${reason})`}${gone ?? ''}`;
  return agrees
    ? `the programs agree: ${what}`
    : `! the programs decide otherwise: ${what}; report this with "sluice bundle"`;
}

function render(found: Explanation, wide: boolean): string {
  const { from, to, frontend, list, affinity, flow } = found;
  const client = from.address === undefined ? 'node' : from.port ? endpoint(from.address, from.port) : from.address;
  const lines: [string, string | undefined][] = [
    [
      'verdict',
      `${found.verdict === 'forwarded' ? '' : '! '}${found.verdict}${found.reason ? ` (${found.reason})` : ''}`,
    ],
    ['why', found.why],
    ['do', found.advice],
    ['from', `${client}: ${from.why}${from.device === undefined ? '' : `, behind ${from.device}`}`],
    [
      'to',
      `${endpoint(to.address, to.port)}/${to.protocol}${frontend === undefined ? '' : `: ${frontendText(frontend)}`}`,
    ],
    ['decided by', found.by && DECIDED[found.by]],
    ['list', list && `${list.name}, for clients ${list.side}: ${list.why}`],
    [
      'affinity',
      affinity && `${affinity.backend}, for ${duration(affinity.secondsLeft)} more without a new connection`,
    ],
    [
      'flow',
      flow &&
        `${flow.client} > ${flow.backend}, ${flow.state}${flow.sourceNat === undefined ? '' : `, as ${flow.sourceNat}`}`,
    ],
    ['source', sourceText(found.backends)],
    ['run', found.run && runText(found.run)],
    ...found.problems.map((problem): [string, string] => ['problem', `! ${problem}`]),
    ...found.notes.map((note): [string, string] => ['note', note]),
  ];
  const text = lines
    .filter(([, value]) => value !== undefined)
    .map(([name, value = '']) => `${`${name}:`.padEnd(12)}${cleanText(value, 1000)}\n`)
    .join('');
  if (found.backends.length === 0) return text;
  const chosen = [...found.backends].sort((a, b) => b.chance - a.chance);
  const shown = wide ? chosen : chosen.slice(0, SHOWN);
  const more = chosen.length - shown.length;
  return `${text}\n${renderTable(COLUMNS, shown, wide)}${more > 0 ? `and ${more} more: -o wide shows them\n` : ''}`;
}

const DECIDED = {
  socket: 'the socket hook, before there is a packet',
  packets: 'the packet path, where the first packet comes in',
} as const;

function frontendText({ types, namespace, name, port, affinitySeconds }: NonNullable<Explanation['frontend']>): string {
  const whose = `${namespace}/${name}${port && `:${port}`}`;
  return `${types.join('+')} of ${whose}${affinitySeconds > 0 ? `, session affinity ${duration(affinitySeconds)}` : ''}`;
}

/** Where all backends see the same kind of source. */
function sourceText(backends: readonly ExplainedBackend[]): string | undefined {
  const possible = backends.filter(({ chance, fails }) => chance > 0 && fails === undefined);
  const texts = new Set(
    possible.map(({ sourceNat, whySource }) =>
      sourceNat === undefined
        ? `the client's own${whySource === undefined ? '' : `: ${whySource}`}`
        : `${sourceNat} in place of the client's: ${whySource}`,
    ),
  );
  return texts.size === 1 ? [...texts][0] : texts.size === 0 ? undefined : 'differs by backend: -o wide says why';
}

/** e.g. `50%`, `0.4%`, `-` */
function chanceText(chance: number): string {
  if (chance === 0) return '';
  const value = 100 * chance;
  return `${value >= 9.95 || Number.isInteger(value) ? Math.round(value) : value.toFixed(1)}%`;
}
