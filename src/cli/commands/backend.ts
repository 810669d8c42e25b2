/** `sluice backend list`: the endpoints that frontends lead to. */
import { Command } from 'commander';
import { bpfRootOption, type CliContext, withMaps } from '../context.ts';
import { endpoint } from '../format.ts';
import { type OutputFormat, outputOption, printList } from '../output.ts';
import type { Column } from '../table.ts';
import { type BackendRow, compareBackends, readBackends } from '../views/backends.ts';
import { readFrontends } from '../views/frontends.ts';
import { matchesService, readNames, type ServiceFilter } from '../views/names.ts';
import { foundNothing } from './nothing.ts';

export const BACKEND_COLUMNS: readonly Column<BackendRow>[] = [
  { header: 'NAMESPACE', value: (row) => row.namespace },
  { header: 'NAME', value: (row) => row.name },
  { header: 'PORT', value: (row) => row.port },
  { header: 'BACKEND', value: (row) => `${endpoint(row.address, row.backendPort)}/${row.protocol}` },
  { header: 'STATE', value: (row) => row.state },
  { header: 'LOCAL', value: (row) => (row.local ? 'yes' : 'no') },
  { header: 'LISTS', value: (row) => row.lists.join(',') },
  { header: 'ID', value: (row) => String(row.backendId), wide: true, right: true },
  { header: 'SERVICE-PORT-ID', value: (row) => String(row.servicePortId), wide: true, right: true },
];

interface Flags {
  bpfRoot: string;
  output: OutputFormat;
  namespace?: string;
}

export function backendCommand(context: CliContext): Command {
  const list = new Command('list')
    .alias('ls')
    .description('list the backends: the endpoints that frontends lead to')
    .argument('[name]', 'only those of this Service')
    .option('-n, --namespace <namespace>', 'only those of Services of this namespace')
    .addOption(bpfRootOption())
    .addOption(outputOption())
    .action(async (name: string | undefined, { bpfRoot, output, namespace }: Flags) => {
      const filter: ServiceFilter = { namespace, name };
      const listed = await withMaps(context, bpfRoot, async (maps) => {
        const frontends = [...readFrontends(maps.frontends.entries(), readNames(maps.servicePorts.entries()))];
        const wanted = (row: { namespace: string; name: string; port: string }) => matchesService(filter, row);
        const rows = [...readBackends(frontends, maps.backendSlots, maps.backendStates, wanted)];
        return printList(context.out, rows, {
          format: output,
          columns: BACKEND_COLUMNS,
          compare: compareBackends,
          sortedRows: Infinity,
        });
      });
      context.exit(listed.rows > 0 ? 0 : await foundNothing(context, 'backends', filter));
    });
  return new Command('backend').description('look at backends in the kernel').addCommand(list);
}
