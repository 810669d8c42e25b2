/** `sluice service list`: the frontends in the kernel. */
import { Command } from 'commander';
import { bpfRootOption, type CliContext, withMaps } from '../context.ts';
import { endpoint } from '../format.ts';
import { type OutputFormat, outputOption, printList } from '../output.ts';
import type { Column } from '../table.ts';
import {
  compareFrontends,
  type Extent,
  type FrontendRow,
  readFrontends,
  readSourceRanges,
} from '../views/frontends.ts';
import { matchesService, readNames, type ServiceFilter } from '../views/names.ts';
import { foundNothing } from './nothing.ts';

const extent = ({ base, count }: Extent) => (count === 0 ? '' : `${base}+${count}`);

export const SERVICE_COLUMNS: readonly Column<FrontendRow>[] = [
  { header: 'NAMESPACE', value: (row) => row.namespace },
  { header: 'NAME', value: (row) => row.name },
  { header: 'PORT', value: (row) => row.port },
  { header: 'TYPE', value: (row) => row.types.join(',') },
  { header: 'FRONTEND', value: (row) => `${endpoint(row.address, row.frontendPort)}/${row.protocol}` },
  { header: 'BACKENDS', value: (row) => `${row.internal.count}/${row.external.count}` },
  { header: 'FLAGS', value: flagsOf },
  { header: 'ID', value: (row) => String(row.servicePortId), wide: true, right: true },
  { header: 'INTERNAL', value: (row) => extent(row.internal), wide: true },
  { header: 'EXTERNAL', value: (row) => extent(row.external), wide: true },
  { header: 'SOURCE-RANGES', value: (row) => (row.sourceRanges ?? []).join(','), wide: true },
];

/** e.g. `affinity=10800s,external-local,snat=ho,source-ranges=2`; snat: p(ods), h(ost), o(utside). */
function flagsOf(row: FrontendRow): string {
  return [
    ...(row.affinitySeconds > 0 ? [`affinity=${row.affinitySeconds}s`] : []),
    ...row.traits,
    ...(row.sourceNat.length > 0 ? [`snat=${row.sourceNat.map((who) => who[0]).join('')}`] : []),
    ...(row.sourceRanges !== undefined ? [`source-ranges=${row.sourceRanges.length}`] : []),
  ].join(',');
}

interface Flags {
  bpfRoot: string;
  output: OutputFormat;
  namespace?: string;
}

export function serviceCommand(context: CliContext): Command {
  const list = new Command('list')
    .alias('ls')
    .description('list the frontends: the addresses that clients use')
    .argument('[name]', 'only this Service')
    .option('-n, --namespace <namespace>', 'only Services of this namespace')
    .addOption(bpfRootOption())
    .addOption(outputOption())
    .action(async (name: string | undefined, { bpfRoot, output, namespace }: Flags) => {
      const filter: ServiceFilter = { namespace, name };
      const rows = await withMaps(context, bpfRoot, async (maps) => {
        const ranges = readSourceRanges(maps.sourceRanges.entries());
        const frontends = readFrontends(maps.frontends.entries(), readNames(maps.servicePorts.entries()), ranges);
        return [...frontends].filter((row) => matchesService(filter, row));
      });
      await printList(context.out, rows, {
        format: output,
        columns: SERVICE_COLUMNS,
        compare: compareFrontends,
        sortedRows: Infinity,
      });
      context.exit(rows.length > 0 ? 0 : await foundNothing(context, 'frontends', filter));
    });
  return new Command('service').alias('svc').description('look at Services in the kernel').addCommand(list);
}
