/** `sluice service`: the frontends in the kernel, and what was refused. */
import { Command } from 'commander';
import { readReport } from '../../model/agent-report.ts';
import { bpfRootOption, type CliContext, withMaps } from '../context.ts';
import { EXIT_FAILED, EXIT_OK } from '../errors.ts';
import { addFilters, addSelector, type FilterFlags, filterOf, selectorOf } from '../filter.ts';
import { endpoint } from '../format.ts';
import { orUndefined } from '../optional.ts';
import { addOutput, type OutputFlags } from '../output.ts';
import type { Column } from '../table.ts';
import {
  compareFrontends,
  type Extent,
  FRONTEND_FIELDS,
  type FrontendRow,
  readFrontends,
  readSourceRanges,
} from '../views/frontends.ts';
import { matchesService, readNames } from '../views/names.ts';
import { readNodePortAddresses } from '../views/node-ports.ts';
import { addWatch, printWatched, type WatchFlags } from '../watch.ts';
import { foundNothing } from './nothing.ts';
import { problemsCommand, problemsOf } from './problems.ts';

const slots = ({ base, count }: Extent) =>
  count === 0 ? '' : count === 1 ? String(base) : `${base}-${base + count - 1}`;
const frontendOf = (row: FrontendRow) => `${endpoint(row.address, row.frontendPort)}/${row.protocol}`;
const serviceOf = (row: FrontendRow) => (row.name === '' ? '' : `${row.namespace}/${row.name}`);

/** @param answering the addresses of the node that answer NodePorts. */
export function serviceColumns(answering: () => readonly string[]): readonly Column<FrontendRow>[] {
  return [
    { header: 'NAMESPACE', value: (row) => row.namespace },
    { header: 'NAME', value: (row) => row.name },
    { header: 'PORT', value: (row) => row.port },
    { header: 'TYPE', value: (row) => row.types.join(',') },
    { header: 'FRONTEND', value: frontendOf },
    { header: 'BACKENDS', value: backendsText },
    { header: 'NOTES', value: notesOf },
    { header: 'ADDRESSES', value: (row) => addressesOf(row, answering()), wide: true },
    { header: 'SOURCE-RANGES', value: (row) => (row.sourceRanges ?? []).join(','), wide: true },
    { header: 'ID', value: (row) => String(row.servicePortId), wide: true, right: true },
    { header: 'SLOTS-INSIDE', value: (row) => slots(row.internal), wide: true },
    { header: 'SLOTS-OUTSIDE', value: (row) => slots(row.external), wide: true },
  ];
}

const HELP = `
Columns:
  FRONTEND    what clients dial; a NodePort has 0.0.0.0 or [::], for the addresses that -o wide and "sluice status" list
  BACKENDS    how many may get new connections: from inside the cluster, and from outside where that differs
  NOTES       affinity=TIME               a client keeps its backend so long
              algorithm=NAME              how a backend is chosen for a new connection; without it at random
              weights=N+N+…               of the backends, in the order of their addresses, where they differ and count
              internalTrafficPolicy=Local,
              externalTrafficPolicy=Local only backends of this node
              drops-inside, drops-outside without backends packets are dropped, not refused
              host-allowed                source ranges let this node itself in
              source-nat=WHOSE            backends see an address of this node in place of these clients'
              source-ranges=N             only clients in N networks may use it (-o wide shows them)
  SLOTS-…     where its backends lie in the map backend_slots
`;

/** e.g. `3`, or `3 inside, 0 outside`. */
function backendsText({ internal, external }: FrontendRow): string {
  return internal.count === external.count
    ? String(internal.count)
    : `${internal.count} inside, ${external.count} outside`;
}

const TRAITS: Readonly<Record<string, string>> = {
  'internal-local': 'internalTrafficPolicy=Local',
  'external-local': 'externalTrafficPolicy=Local',
  'internal-drop': 'drops-inside',
  'external-drop': 'drops-outside',
};
const CLIENTS: Readonly<Record<string, string>> = { pod: 'pods', host: 'node', outside: 'outside' };

const SHOWN_WEIGHTS = 8;

/** e.g. `1+5+2`, and of many `1+5+…`. */
function weightsText(weights: readonly number[]): string {
  const text = weights.slice(0, SHOWN_WEIGHTS).join('+');
  return weights.length > SHOWN_WEIGHTS ? `${text}+…` : text;
}

/** e.g. `affinity=10800s,externalTrafficPolicy=Local,source-nat=pods+node,source-ranges=2`. */
function notesOf(row: FrontendRow): string {
  return [
    ...(row.affinitySeconds > 0 ? [`affinity=${row.affinitySeconds}s`] : []),
    ...(row.algorithm === undefined ? [] : [`algorithm=${row.algorithm}`]),
    ...(row.weights === undefined ? [] : [`weights=${weightsText(row.weights)}`]),
    ...row.traits.map((trait) => TRAITS[trait] ?? trait),
    ...(row.sourceNat.length > 0 ? [`source-nat=${row.sourceNat.map((who) => CLIENTS[who] ?? who).join('+')}`] : []),
    ...(row.sourceRanges !== undefined ? [`source-ranges=${row.sourceRanges.length}`] : []),
  ].join(',');
}

function addressesOf(row: FrontendRow, answering: readonly string[]): string {
  if (row.address !== '0.0.0.0' && row.address !== '::') return '';
  const ipv6 = row.address === '::';
  return answering.filter((address) => address.includes(':') === ipv6).join(',');
}

type Flags = FilterFlags & OutputFlags & WatchFlags & { bpfRoot: string };

export function serviceCommand(context: CliContext): Command {
  const list = new Command('list')
    .alias('ls')
    .description('list the frontends: the addresses that clients use')
    .argument('[name]', 'only this Service: name or namespace/name');
  addWatch(addOutput(addSelector(addFilters(list))))
    .addOption(bpfRootOption())
    .addHelpText('after', HELP)
    .action(async (name: string | undefined, flags: Flags) => {
      const filter = filterOf(name, flags);
      const selected = selectorOf(flags.selector, FRONTEND_FIELDS);
      let answering: readonly string[] = [];
      const read = () =>
        withMaps(context, flags.bpfRoot, async (maps) => {
          answering = orUndefined(() => readNodePortAddresses(maps)) ?? [];
          const ranges = readSourceRanges(maps.sourceRanges.entries());
          const names = readNames(maps.servicePorts.entries());
          const slots = orUndefined(() => maps.backendSlots.view);
          const frontends = readFrontends(maps.frontends.entries(), names, ranges, slots);
          return [...frontends].filter((row) => matchesService(filter, row) && selected(row));
        });
      const key = (row: FrontendRow) => `${serviceOf(row)} ${frontendOf(row)}`;
      const listed = await printWatched(context, flags.watch === true, read, key, {
        format: flags.output,
        headers: flags.headers,
        columns: serviceColumns(() => answering),
        compare: compareFrontends,
        nameOf: serviceOf,
        sortedRows: Infinity,
      });
      if (listed.rows > 0) return context.exit(EXIT_OK);
      const refused = filter.name === undefined ? [] : await refusals(context, flags.bpfRoot, filter);
      if (refused.length === 0) return context.exit(await foundNothing(context, 'frontends', filter, 'service'));
      await context.err.write(refused.map((line) => `sluice: ${line}\n`).join(''));
      context.exit(EXIT_FAILED);
    });
  return new Command('service')
    .alias('services')
    .alias('svc')
    .description('look at Services in the kernel; without another word: list')
    .addCommand(list, { isDefault: true })
    .addCommand(problemsCommand(context));
}

/** Why a Service that was named has no frontends. */
function refusals(context: CliContext, root: string, filter: { namespace?: string; name?: string }): Promise<string[]> {
  return withMaps(context, root, async (maps) =>
    problemsOf(
      orUndefined(() => readReport(maps.report.view)),
      filter,
    ).map(({ kind, namespace, name, field, message }) => `${kind} ${namespace}/${name}: ${field}: ${message}`),
  );
}
