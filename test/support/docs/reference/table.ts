/** Tables of Markdown. */

/** @param rows of cells, each of which may hold a pipe */
export const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows.map((row) => row.map((cell) => cell.replaceAll('|', '\\|')))]
    .map((cells) => `| ${cells.join(' | ')} |`.replaceAll(/\| {2}\|/g, '| |'))
    .join('\n');

/** What says to a reader of the source where it comes from. */
export const generated = (from: string): string =>
  `<!-- Generated from ${from} by test/unit/docs/reference.test.ts: vitest run --project unit test/unit/docs -u writes it again. -->`;

/** The numbers of rules are for those who write the code. */
export const withoutRules = (text: string): string => text.replace(/ ?\(R-\d+[^)]*\)/g, '');
