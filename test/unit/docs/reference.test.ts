/** The pages of reference say what the code does. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ERRORS, errorsPage } from '../../support/docs/reference/errors.ts';
import { FLAG_DETAILS } from '../../support/docs/reference/flag-details.ts';
import { flagNames, flagsPage } from '../../support/docs/reference/flags.ts';
import { metricsPage } from '../../support/docs/reference/metrics.ts';
import { REPOSITORY } from '../../support/docs/repository.ts';

test.each([
  ['errors.md', errorsPage],
  ['flags.md', flagsPage],
  ['metrics.md', metricsPage],
])('docs/%s', async (name, page) => {
  await expect(page()).toMatchFileSnapshot(join(REPOSITORY, 'docs', name));
});

test('what is said of a flag is said of one that there is', () => {
  for (const name of Object.keys(FLAG_DETAILS)) expect([...flagNames()], name).toContain(name);
});

test('each code is used somewhere, but for the one that is reserved', () => {
  const source = readdirSync(join(REPOSITORY, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && path !== 'model/errors.ts')
    .map((path) => readFileSync(join(REPOSITORY, 'src', path), 'utf8'))
    .join('\n');
  const unused = Object.keys(ERRORS).filter((code) => !source.includes(`'${code}'`));
  expect(unused).toEqual(['KERNEL_FEATURE']);
});
