/** `sluice flow list`: the connections that are translated. */
import { Command } from 'commander';
import type { Maps } from '../../bpf/open-maps.ts';
import { parseAddress } from '../../model/address.ts';
import { bpfRootOption, type CliContext, withMaps } from '../context.ts';
import { usageError } from '../errors.ts';
import { addFilters, type FilterFlags, filterOf } from '../filter.ts';
import { duration, endpoint } from '../format.ts';
import { addOutput, type OutputFlags, printList, SORTED_ROWS } from '../output.ts';
import type { Column } from '../table.ts';
import { compareFlows, type FlowContext, type FlowFilter, type FlowRow, readFlows } from '../views/flows.ts';
import { matchesService, nameOf, readNames, type ServiceFilter, type ServicePortName } from '../views/names.ts';
import { compareSockets, readSockets, type SocketRow } from '../views/sockets.ts';
import { foundNothing } from './nothing.ts';
import { positive } from './positive.ts';

function pathOf({ redirected, directReturn }: FlowRow): string {
  if (directReturn === 'received') return 'dsr';
  if (directReturn !== undefined) return `dsr-${directReturn}`;
  return redirected ? 'redirect' : 'stack';
}

const seconds = (value: number | undefined) => (value === undefined ? '' : duration(value));
const service = (row: ServicePortName) => (row.name === '' ? '' : `${row.namespace}/${row.name}`);
const portName = (row: ServicePortName) => row.port;

export const FLOW_COLUMNS: readonly Column<FlowRow>[] = [
  { header: 'SERVICE', value: service },
  { header: 'PORT', value: portName, wide: true },
  { header: 'PROTO', value: (row) => row.protocol },
  { header: 'CLIENT', value: (row) => row.client },
  { header: 'FRONTEND', value: (row) => row.frontend },
  { header: 'BACKEND', value: (row) => row.backend },
  { header: 'STATE', value: (row) => row.state },
  { header: 'SOURCE-NAT', value: (row) => row.sourceNat ?? '' },
  { header: 'AGE', value: (row) => seconds(row.ageSeconds) },
  { header: 'IDLE', value: (row) => seconds(row.idleSeconds) },
  { header: 'PACKETS', value: (row) => String(row.fromClient.packets + row.fromBackend.packets), right: true },
  { header: 'BYTES', value: (row) => String(row.fromClient.bytes + row.fromBackend.bytes), right: true },
  { header: 'PATH', value: pathOf, wide: true },
  { header: 'BACKEND-STATE', value: (row) => (row.backendServes ? 'serving' : 'stale'), wide: true },
  { header: 'CLIENT-PACKETS', value: (row) => String(row.fromClient.packets), wide: true, right: true },
  { header: 'BACKEND-PACKETS', value: (row) => String(row.fromBackend.packets), wide: true, right: true },
  { header: 'BACKEND-ID', value: (row) => String(row.backendId), wide: true, right: true },
];

export const SOCKET_COLUMNS: readonly Column<SocketRow>[] = [
  { header: 'SERVICE', value: service },
  { header: 'PORT', value: portName, wide: true },
  { header: 'PROTO', value: (row) => row.protocol },
  { header: 'SOCKET', value: (row) => row.cookie },
  { header: 'FRONTEND', value: (row) => row.frontend },
  { header: 'BACKEND', value: (row) => row.backend },
  { header: 'IDLE', value: (row) => seconds(row.idleSeconds) },
  { header: 'BACKEND-ID', value: (row) => String(row.backendId), wide: true, right: true },
];

const HELP = `
Columns:
  STATE           half-open: the backend has not answered yet; closing: it is over, and its ports rest for a while
  SOURCE-NAT      the address of this node that the backend sees, where it does not see the client's own
  PATH            stack: by the routing of the node; redirect: sent out again at once; dsr, dsr-ipip, dsr-geneve: the
                  backend answers the client directly
  BACKEND-STATE   stale: the backend is gone, and the flow ends with its next packet
`;

interface Flags extends FilterFlags, OutputFlags {
  bpfRoot: string;
  service?: string;
  backend?: string;
  limit?: number;
  sockets?: true;
}

export function flowCommand(context: CliContext): Command {
  const list = addOutput(addFilters(new Command('list')))
    .alias('ls')
    .description('list the flows: connections translated packet by packet')
    .argument('[service]', 'only flows to this Service: name or namespace/name')
    .option('--service <namespace/name>', 'the same')
    .option('--backend <address>', 'only flows to this backend: address or address:port')
    .option('--limit <rows>', 'stop after so many', positive)
    .option('--sockets', 'list sockets that were pointed at a backend when they connected or sent instead')
    .addOption(bpfRootOption())
    .addHelpText('after', HELP)
    .action(async (name: string | undefined, flags: Flags) => {
      if (name !== undefined && flags.service !== undefined) throw usageError('--service: the Service is given twice');
      const wanted = filterOf(name ?? flags.service, flags);
      const backend = flags.backend === undefined ? undefined : parseBackend(flags.backend);
      context.exit(await withMaps(context, flags.bpfRoot, (maps) => listFlows(context, maps, flags, wanted, backend)));
    });
  return new Command('flow')
    .alias('flows')
    .description('look at flows in the kernel; without another word: list')
    .addCommand(list, { isDefault: true });
}

async function listFlows(
  context: CliContext,
  maps: Maps,
  flags: Flags,
  wanted: ServiceFilter,
  backend: string | undefined,
): Promise<number> {
  const names = readNames(maps.servicePorts.entries());
  const all = wanted.name === undefined && wanted.namespace === undefined;
  const servicePortIds = all
    ? undefined
    : new Set([...names.keys()].filter((id) => matchesService(wanted, nameOf(names, id))));
  const filter: FlowFilter = { servicePortIds, backend };
  const flowContext: FlowContext = { names, clock: await context.kernel.readClock() };
  const cut = { more: false };
  const { output: format, headers, limit } = flags;
  const listed = flags.sockets
    ? await printList(context.out, take(readSockets(maps, filter, flowContext), limit, cut), {
        format,
        headers,
        columns: SOCKET_COLUMNS,
        compare: compareSockets,
        nameOf: (row) => row.cookie,
      })
    : await printList(context.out, take(readFlows(maps, filter, flowContext), limit, cut), {
        format,
        headers,
        columns: FLOW_COLUMNS,
        compare: compareFlows,
        nameOf: (row) => `${row.protocol} ${row.client} ${row.frontend}`,
      });
  if (cut.more) await context.err.write(`stopped after ${limit}: there are more\n`);
  if (!listed.sorted) await context.err.write(`not sorted: more than ${SORTED_ROWS} rows\n`);
  if (listed.rows > 0) return 0;
  // An idle Service has no flows: that is no failure; one that is not there is.
  const what = flags.sockets ? 'sockets' : 'flows';
  return foundNothing(context, what, servicePortIds?.size === 0 ? wanted : {}, 'flow');
}

/** The first rows; `cut.more` is set when that was not all. */
function* take<T>(rows: Iterable<T>, limit: number | undefined, cut: { more: boolean }): Generator<T> {
  let taken = 0;
  for (const row of rows) {
    if (taken++ === limit) {
      cut.more = true;
      return;
    }
    yield row;
  }
}

/** @returns the address, or address and port, as the views write it. */
function parseBackend(text: string): string {
  const address = parseAddress(text);
  if (address !== undefined) return address;
  const [, host = '', port = ''] = /^\[?(.*?)\]?:(\d+)$/.exec(text) ?? [];
  const parsed = parseAddress(host);
  if (parsed === undefined || Number(port) > 65_535) {
    throw usageError(`--backend: '${text}' is no address; give e.g. 10.0.0.1, 10.0.0.1:80 or [fd00::1]:80`);
  }
  return endpoint(parsed, Number(port));
}
