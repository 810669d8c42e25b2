/** `sluice map`: the rows of a map as they are, decoded; without a name, which maps there are. */
import { Argument, Command } from 'commander';
import type { MapShape } from '../../../maps-schema/codec.ts';
import { maps as shapes } from '../../../maps-schema/gen/codecs.ts';
import type { OpenMapName } from '../../bpf/open-maps.ts';
import { bpfRootOption, type CliContext, withMaps } from '../context.ts';
import { EXIT_OK } from '../errors.ts';
import { compareBy } from '../format.ts';
import { addOutput, type OutputFlags, printList, SORTED_ROWS } from '../output.ts';
import type { Column } from '../table.ts';
import { MAP_VIEWS, type MapRow, readMap } from '../views/map-rows.ts';
import { positive } from './positive.ts';

interface ListedMap extends Pick<MapShape, 'name' | 'type' | 'maxEntries' | 'writtenByDataPath'> {
  /** The command that shows its rows for people. */
  readonly command: string;
}

const LIST_COLUMNS: readonly Column<ListedMap>[] = [
  { header: 'MAP', value: (row) => row.name },
  { header: 'TYPE', value: (row) => row.type },
  { header: 'MAX', value: (row) => String(row.maxEntries), right: true },
  { header: 'WRITTEN-BY', value: (row) => (row.writtenByDataPath ? 'packets' : 'agent') },
  { header: 'COMMAND', value: (row) => row.command },
];

/** By name in the kernel. */
const NAMES = new Map(Object.keys(MAP_VIEWS).map((name) => [shapes[name as OpenMapName].name, name as OpenMapName]));

const HELP = `
Without a name: all maps, each with the command that shows its rows for people.
With one: its rows, a column for each field of the key, then of the value. Of arrays elements that are zero are left out;
flows and half_open_flows show the flows alone. A row that somebody writes meanwhile may be missed or seen twice.
COMMAND "sluice map NAME": no other command shows it.
`;

type Flags = OutputFlags & { bpfRoot: string; limit?: number };

export function mapCommand(context: CliContext): Command {
  const command = new Command('map')
    .alias('maps')
    .description("show a map's rows, decoded; without a name: which maps there are")
    .addArgument(new Argument('[map]', 'name of a map').choices([...NAMES.keys()]));
  return addOutput(command)
    .option('--limit <rows>', 'stop after so many', positive)
    .addOption(bpfRootOption())
    .addHelpText('after', HELP)
    .action(async (name: string | undefined, flags: Flags) => {
      const map = name === undefined ? undefined : NAMES.get(name);
      if (map === undefined) await listMaps(context, flags);
      else await showMap(context, flags, map);
      context.exit(EXIT_OK);
    });
}

async function listMaps(context: CliContext, flags: Flags): Promise<void> {
  const rows = [...NAMES].map(([name, map]): ListedMap => {
    const { type, maxEntries, writtenByDataPath } = shapes[map];
    return { name, type, maxEntries, writtenByDataPath, command: MAP_VIEWS[map].command };
  });
  await printList(context.out, rows.slice(0, flags.limit), {
    format: flags.output,
    headers: flags.headers,
    columns: LIST_COLUMNS,
    compare: compareBy(() => 0),
    nameOf: (row) => row.name,
  });
}

async function showMap(context: CliContext, flags: Flags, map: OpenMapName): Promise<void> {
  const listed = await withMaps(context, flags.bpfRoot, async (maps) => {
    const rows = limited(readMap(maps, map), flags.limit);
    const first = rows.next();
    const fields = first.done ? [] : Object.keys(first.value);
    return printList(context.out, first.done ? [] : chain(first.value, rows), {
      format: flags.output,
      headers: flags.headers,
      columns: fields.map(columnOf),
      compare: compareBy(...fields.map((field) => (row: MapRow) => sortable(row[field]))),
      nameOf: (row) => textOf(row[fields[0] ?? '']),
    });
  });
  if (listed.rows === 0) await context.err.write(`the map ${shapes[map].name} is empty\n`);
  if (!listed.sorted) await context.err.write(`not sorted: more than ${SORTED_ROWS} rows\n`);
}

function* limited(rows: Iterable<MapRow>, limit = Infinity): Generator<MapRow, undefined> {
  let count = 0;
  for (const row of rows) {
    if (count++ >= limit) return;
    yield row;
  }
}

function* chain(first: MapRow, rest: Iterable<MapRow>): Generator<MapRow> {
  yield first;
  yield* rest;
}

/** `servicePortId` → `SERVICE-PORT-ID` */
function columnOf(field: string): Column<MapRow> {
  const header = field.replace(/[A-Z]/g, (letter) => `-${letter}`).toUpperCase();
  return { header, value: (row) => textOf(row[field]) };
}

function textOf(value: unknown): string {
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value.join(',');
  return typeof value === 'object' ? JSON.stringify(value) : String(value ?? '');
}

const sortable = (value: unknown) => (typeof value === 'number' ? value : textOf(value));
