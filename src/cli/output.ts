/** `-o …` and `--no-headers`: one way to print for every command. */
import { type Command, Option } from 'commander';
import type { JsonPath } from './jsonpath.ts';
import { type CustomColumn, type OutputFormat, parseOutputFormat, TABLE } from './output-format.ts';
import type { Sink } from './sink.ts';
import { type Column, createTable } from './table.ts';
import { toYaml } from './yaml.ts';

export interface OutputFlags {
  output: OutputFormat;
  /** False with --no-headers. */
  headers: boolean;
}

/** The options of a command that prints rows. */
export function addOutput(command: Command): Command {
  const words = 'table|wide|json|yaml|name|jsonpath=TEMPLATE|custom-columns=HEADER:.field,…';
  return command
    .addOption(
      new Option('-o, --output <format>', `how to print: ${words}`)
        .argParser((text) => parseOutputFormat(text, true))
        .default(TABLE, 'table'),
    )
    .option('--no-headers', 'a table without its first line');
}

/** The option of a command that prints one object. */
export function outputOption(): Option {
  return new Option('-o, --output <format>', 'how to print: table|wide|json|yaml|jsonpath=TEMPLATE')
    .argParser((text) => parseOutputFormat(text, false))
    .default(TABLE, 'table');
}

/** Lists longer than this are printed as they are read, unsorted. */
export const SORTED_ROWS = 50_000;

export interface ListOptions<T> {
  readonly format: OutputFormat;
  /** False: a table has no header line. */
  readonly headers?: boolean;
  readonly columns: readonly Column<T>[];
  readonly compare: (a: T, b: T) => number;
  /** What `-o name` prints of a row. */
  readonly nameOf: (row: T) => string;
  /** For tests; default SORTED_ROWS. */
  readonly sortedRows?: number;
}

export interface Listed {
  readonly rows: number;
  /** False when there were too many rows to sort. */
  readonly sorted: boolean;
}

/**
 * Prints rows sorted, or as they come when there are more than can be held. JSON and YAML have the
 * rows as they are, under `items`; a template sees the same. An empty table prints nothing at all.
 */
export async function printList<T>(out: Sink, rows: Iterable<T>, options: ListOptions<T>): Promise<Listed> {
  // A template sees all rows at once.
  const limit = options.format.kind === 'jsonpath' ? Infinity : (options.sortedRows ?? SORTED_ROWS);
  const iterator = rows[Symbol.iterator]();
  try {
    const held: T[] = [];
    let next = iterator.next();
    for (; !next.done && held.length < limit; next = iterator.next()) held.push(next.value);
    const sorted = next.done === true;
    if (sorted) held.sort(options.compare);
    const printer = createPrinter(options, held);
    let printed = 0;
    let text = printer.start;
    const add = async (row: T) => {
      text += printer.row(row, printed++);
      if (text.length < 65_536) return;
      await out.write(text);
      text = '';
    };
    for (const row of held) await add(row);
    for (; !next.done; next = iterator.next()) await add(next.value);
    text += printer.end(printed);
    if (text !== '') await out.write(text);
    return { rows: printed, sorted };
  } finally {
    iterator.return?.();
  }
}

interface Printer<T> {
  readonly start: string;
  row(row: T, index: number): string;
  end(rows: number): string;
}

function createPrinter<T>(options: ListOptions<T>, held: readonly T[]): Printer<T> {
  const { format } = options;
  const none = () => '';
  switch (format.kind) {
    case 'json':
      return {
        start: '{"items": [',
        row: (row, index) => `${index === 0 ? '' : ','}\n  ${JSON.stringify(row)}`,
        end: (rows) => (rows === 0 ? ']}\n' : '\n]}\n'),
      };
    case 'yaml':
      return {
        start: held.length === 0 ? 'items: []\n' : 'items:\n',
        row: (row) => toYaml([row]),
        end: none,
      };
    case 'name': {
      const seen = new Set<string>();
      const first = (name: string) => seen.size < seen.add(name).size;
      return { start: '', row: (row) => lineOnce(options.nameOf(row), first), end: none };
    }
    case 'jsonpath':
      return { start: '', row: none, end: () => rendered(format.path, { items: held }) };
    default: {
      const columns = format.kind === 'custom-columns' ? format.columns.map(columnOf<T>) : options.columns;
      const table = createTable(columns, format.kind === 'wide', held);
      const headed = options.headers !== false && held.length > 0;
      return { start: headed ? table.header : '', row: (row) => table.line(row), end: none };
    }
  }
}

const lineOnce = (name: string, first: (name: string) => boolean) => (name !== '' && first(name) ? `${name}\n` : '');

function columnOf<T>({ header, path }: CustomColumn): Column<T> {
  return { header, value: (row) => path.render(row) || '<none>' };
}

/** With a line feed at the end, which kubectl leaves out: a shell drops it. */
function rendered(path: JsonPath, value: unknown): string {
  const text = path.render(value);
  return text === '' || text.endsWith('\n') ? text : `${text}\n`;
}

/** Prints one object; undefined for a table, which each command has for itself. */
export function formatObject(value: unknown, format: OutputFormat): string | undefined {
  switch (format.kind) {
    case 'json':
      return `${JSON.stringify(value, undefined, 2)}\n`;
    case 'yaml':
      return toYaml(value);
    case 'jsonpath':
      return rendered(format.path, value);
    default:
      return undefined;
  }
}
