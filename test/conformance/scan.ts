/** Which test proves which rule: read from the titles and comments of the tests. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { GAPS, RULES } from './rules.ts';

const root = join(import.meta.dirname, '..');

/** @returns by rule number, the test files that name it, sorted. */
export function provenRules(): Map<number, string[]> {
  const proven = new Map<number, string[]>();
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.test.ts'));
  for (const file of files.sort()) {
    const text = readFileSync(join(root, file), 'utf8');
    const numbers = new Set(Array.from(text.matchAll(/R-(\d+)(?!\d)/g), ([, number]) => Number(number)));
    for (const number of numbers) proven.set(number, [...(proven.get(number) ?? []), `test/${relative('', file)}`]);
  }
  return proven;
}

/** @returns docs/conformance.md. */
export function conformance(): string {
  const proven = provenRules();
  const rows = RULES.map((rule, i) => {
    const number = i + 1;
    const files = proven.get(number);
    return `| R-${number} | ${rule} | ${files?.map((file) => `\`${file.slice(5)}\``).join(', ') ?? `— ${GAPS[number]}`} |`;
  });
  return [
    '# Conformance',
    '',
    'Generated from the tests by `UPDATE=1 npx vitest run --project unit test/conformance`: do not edit. Each rule',
    'of a Kubernetes Service, and the tests under `test/` that name it. A dash is a gap, with its reason.',
    '',
    '| rule | what it says | tests |',
    '|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}
