/** `-o table|wide|json|yaml`: one way to print for every command that lists. */
import { Option } from 'commander';
import type { Sink } from './sink.ts';
import { type Column, createTable } from './table.ts';
import { toYaml } from './yaml.ts';

export const OUTPUT_FORMATS = ['table', 'wide', 'json', 'yaml'] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

export function outputOption(): Option {
  return new Option('-o, --output <format>', 'how to print').choices(OUTPUT_FORMATS).default('table');
}

/** Lists longer than this are printed as they are read, unsorted. */
export const SORTED_ROWS = 50_000;

export interface ListOptions<T> {
  readonly format: OutputFormat;
  readonly columns: readonly Column<T>[];
  readonly compare: (a: T, b: T) => number;
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
 * rows as they are, under `items`. An empty table prints nothing at all.
 */
export async function printList<T>(out: Sink, rows: Iterable<T>, options: ListOptions<T>): Promise<Listed> {
  const limit = options.sortedRows ?? SORTED_ROWS;
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
  switch (options.format) {
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
        end: () => '',
      };
    default: {
      const table = createTable(options.columns, options.format === 'wide', held);
      return { start: held.length === 0 ? '' : table.header, row: (row) => table.line(row), end: () => '' };
    }
  }
}

/** Prints one object as JSON or YAML. */
export function formatObject(value: unknown, format: 'json' | 'yaml'): string {
  if (format === 'json') return `${JSON.stringify(value, undefined, 2)}\n`;
  return toYaml(value);
}
