/** `sluice backend`: the endpoints that frontends lead to. */
import { Command } from 'commander';
import { bpfRootOption, type CliContext, withMaps } from '../context.ts';
import { EXIT_OK } from '../errors.ts';
import { addFilters, addSelector, type FilterFlags, filterOf, selectorOf } from '../filter.ts';
import { endpoint } from '../format.ts';
import { addOutput, type OutputFlags } from '../output.ts';
import type { Column } from '../table.ts';
import { BACKEND_FIELDS, type BackendRow, compareBackends, readBackends } from '../views/backends.ts';
import { readFrontends } from '../views/frontends.ts';
import { matchesService, readNames, type ServicePortName } from '../views/names.ts';
import { addWatch, printWatched, type WatchFlags } from '../watch.ts';
import { foundNothing } from './nothing.ts';

const addressOf = (row: BackendRow) => `${endpoint(row.address, row.backendPort)}/${row.protocol}`;

export const BACKEND_COLUMNS: readonly Column<BackendRow>[] = [
  { header: 'NAMESPACE', value: (row) => row.namespace },
  { header: 'NAME', value: (row) => row.name },
  { header: 'PORT', value: (row) => row.port },
  { header: 'BACKEND', value: addressOf },
  { header: 'STATE', value: (row) => row.state },
  { header: 'LOCAL', value: (row) => (row.local ? 'yes' : 'no') },
  { header: 'CLIENTS', value: (row) => row.lists.map((list) => CLIENTS[list]).join(',') },
  { header: 'ID', value: (row) => String(row.backendId), wide: true, right: true },
  { header: 'SERVICE-PORT-ID', value: (row) => String(row.servicePortId), wide: true, right: true },
];

const CLIENTS = { internal: 'inside', external: 'outside' } as const;

const HELP = `
Columns:
  STATE     serving       gets new connections
            terminating   its Pod ends, and it gets new connections because no other one is left
            kept          gets no new connections; those that it has go on
            stale         is on its way out: its connections are ended
  LOCAL     whether it is on this node
  CLIENTS   whose new connections it may get: from inside the cluster, from outside
`;

type Flags = FilterFlags & OutputFlags & WatchFlags & { bpfRoot: string };

export function backendCommand(context: CliContext): Command {
  const list = new Command('list')
    .alias('ls')
    .description('list the backends: the endpoints that frontends lead to')
    .argument('[name]', 'only those of this Service: name or namespace/name');
  addWatch(addOutput(addSelector(addFilters(list))))
    .addOption(bpfRootOption())
    .addHelpText('after', HELP)
    .action(async (name: string | undefined, flags: Flags) => {
      const filter = filterOf(name, flags);
      const selected = selectorOf(flags.selector, BACKEND_FIELDS);
      const read = () =>
        withMaps(context, flags.bpfRoot, async (maps) => {
          const frontends = [...readFrontends(maps.frontends.entries(), readNames(maps.servicePorts.entries()))];
          const wanted = (row: ServicePortName) => matchesService(filter, row);
          return [...readBackends(frontends, maps.backendSlots, maps.backendStates, wanted)].filter(selected);
        });
      const key = (row: BackendRow) => `${row.namespace}/${row.name} ${row.port} ${addressOf(row)}`;
      const listed = await printWatched(context, flags.watch === true, read, key, {
        format: flags.output,
        headers: flags.headers,
        columns: BACKEND_COLUMNS,
        compare: compareBackends,
        nameOf: (row) => endpoint(row.address, row.backendPort),
        sortedRows: Infinity,
      });
      context.exit(listed.rows > 0 ? EXIT_OK : await foundNothing(context, 'backends', filter, 'backend'));
    });
  return new Command('backend')
    .alias('backends')
    .description('look at backends in the kernel; without another word: list')
    .addCommand(list, { isDefault: true });
}
