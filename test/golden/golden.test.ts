/**
 * Every folder here is a scenario: input.yaml holds Services, EndpointSlices, a Node and settings;
 * expected.txt the rows they compile to. `UPDATE=1 npx vitest run test/golden` rewrites expected.txt.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { compileScenario } from '../support/golden-scenario.ts';
import { renderCompiled } from '../support/golden-table.ts';

function rowsOf(folder: string): string {
  const { changed, problems } = compileScenario(join(folder, 'input.yaml'));
  return renderCompiled(changed, problems);
}

const scenarios = readdirSync(import.meta.dirname, { withFileTypes: true }).filter((entry) => entry.isDirectory());

test.each(scenarios.map(({ name }) => name).sort())('%s', (name) => {
  const folder = join(import.meta.dirname, name);
  const rendered = rowsOf(folder);
  const expected = join(folder, 'expected.txt');
  if (process.env.UPDATE === '1') writeFileSync(expected, rendered);
  expect(rendered).toBe(readFileSync(expected, 'utf8'));
});
