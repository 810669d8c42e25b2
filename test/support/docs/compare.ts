/** What a page shows against what a command printed. */

/**
 * In what a page shows, `…` stands for anything within a line, and a line of `…` alone for any number of lines; runs of blanks
 * count as one.
 * @returns undefined when it fits, else what to tell a person
 */
export function difference(shown: string, printed: string): string | undefined {
  const pattern = lines(shown).map((line) => (line === '…' ? '(?:.*\n)*?' : `${linePattern(line)}\n`));
  const text = lines(printed).map((line) => `${line}\n`);
  if (new RegExp(`^${pattern.join('')}$`).test(text.join(''))) return undefined;
  return `the page shows\n${shown}\nbut the command printed\n${printed}`;
}

const lines = (text: string) =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => line.trim().replaceAll(/[ \t]+/g, ' '));

function linePattern(line: string): string {
  return line
    .split('…')
    .map((part) => part.replaceAll(/[.*+?^${}()|[\]\\/]/g, '\\$&'))
    .join('.*?');
}
