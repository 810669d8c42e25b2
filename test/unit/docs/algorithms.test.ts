/** docs/algorithms.md says what the code does. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { ALGORITHMS, NEAREST, usesWeights } from '../../../src/model/algorithm.ts';
import { maglevSize } from '../../../src/tables/maglev.ts';

const page = readFileSync(new URL('../../../docs/algorithms.md', import.meta.url), 'utf8');

/** Cells of the rows that begin with a name in code. */
function rowsOf(section: string): string[][] {
  const text = page.split(`<!-- ${section} -->`)[1]?.split(`<!-- end of ${section} -->`)[0] ?? '';
  const lines = text.split('\n').filter((line) => line.startsWith('| `'));
  return lines.map((line) => line.split('|').map((cell) => cell.trim().replaceAll('`', '')));
}

it('names every algorithm, and whether weights count', () => {
  expect(rowsOf('algorithms').map(([, name, weights]) => [name, weights])).toEqual(
    ALGORITHMS.map((name) => [name, usesWeights(name) ? 'yes' : 'no']),
  );
});

it('names what is used in place of others', () => {
  expect(rowsOf('nearest').map(([, name, instead]) => [name, instead])).toEqual(Object.entries(NEAREST));
});

it("has the sizes of Maglev's tables", () => {
  expect(page).toContain(`| up to 128 | ${maglevSize(128).toLocaleString('en')} |`);
  expect(page).toContain(`| more | ${maglevSize(129).toLocaleString('en')} |`);
});
