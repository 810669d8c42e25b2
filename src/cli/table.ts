/** Columns as kubectl prints them: upper-case headers, left-aligned, three spaces between, `-` for nothing. */

export interface Column<T> {
  readonly header: string;
  /** "" is printed as `-`. */
  readonly value: (row: T) => string;
  /** Only with `-o wide`. */
  readonly wide?: boolean;
  /** Numbers. */
  readonly right?: boolean;
}

const GAP = '   ';

/** Prints rows whose widths follow from the first ones: later rows may be wider, and then shift their line. */
export interface Table<T> {
  /** The header line, with its line feed. */
  readonly header: string;
  /** A row, with its line feed. */
  line(row: T): string;
}

/** @param sample rows from which the widths follow; usually all of them. */
export function createTable<T>(columns: readonly Column<T>[], wide: boolean, sample: readonly T[]): Table<T> {
  const shown = columns.filter((column) => wide || column.wide !== true);
  const widths = shown.map((column) =>
    sample.reduce((width, row) => Math.max(width, cell(column, row).length), column.header.length),
  );
  const join = (cells: readonly string[]) =>
    `${cells
      .map((text, i) => (shown[i]?.right === true ? text.padStart(widths[i] ?? 0) : text.padEnd(widths[i] ?? 0)))
      .join(GAP)
      .trimEnd()}\n`;
  return {
    header: join(shown.map((column) => column.header)),
    line: (row) => join(shown.map((column) => cell(column, row))),
  };
}

function cell<T>(column: Column<T>, row: T): string {
  return column.value(row) || '-';
}

/** The whole table as text. */
export function renderTable<T>(columns: readonly Column<T>[], rows: readonly T[], wide = false): string {
  const table = createTable(columns, wide, rows);
  return table.header + rows.map((row) => table.line(row)).join('');
}
