/** Numbers and tables as text. */

/** Three significant digits, thousands grouped: `12,345`, `0.0123`, `1.20`. */
export function formatNumber(value: number): string {
  if (value === 0) return '0';
  if (Number.isInteger(value)) return value.toLocaleString('en-US');
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString('en-US');
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return value.toFixed(1);
  if (size >= 1) return value.toFixed(2);
  return value.toPrecision(3).replace(/0+$/, '').replace(/\.$/, '');
}

export function formatRatio(value: number): string {
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** A Markdown table; columns of numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const rule = head.map((_, i) => (rows.every((row) => /^[\d*]|^$/.test(row[i] ?? '')) ? '--:' : '---'));
  return [line(head), line(rule), ...rows.map(line)].join('\n');
}
