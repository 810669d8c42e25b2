/** What kube-proxy 1.36.2 was seen to do with each file of fixtures: it runs or refuses, and what is in force then. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadConfiguration } from '../../../src/config/load.ts';

interface Case {
  readonly file: string;
  readonly kubeProxy: 'runs' | 'refuses';
  /** Set when kube-proxy reads the file leniently. */
  readonly note?: string;
  readonly effective?: Readonly<Record<string, unknown>>;
}

const directory = join(import.meta.dirname, 'fixtures');
const cases = JSON.parse(readFileSync(join(directory, 'expected.json'), 'utf8')) as Case[];

test('each file has its expectation', () => {
  expect(readdirSync(directory).sort()).toEqual(['expected.json', ...cases.map(({ file }) => file)].sort());
});

test.each(cases.filter(({ kubeProxy }) => kubeProxy === 'refuses'))('R-84, R-111: $file is refused', ({ file }) => {
  expect(() => loadConfiguration(join(directory, file))).toThrow(
    expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringContaining(file) }),
  );
});

test.each(
  cases.filter(({ kubeProxy }) => kubeProxy === 'runs'),
)('R-84, R-111: $file is read, with the values that kube-proxy has in force', ({ file, note, effective = {} }) => {
  const path = join(directory, file);
  const { configuration, warnings } = loadConfiguration(path);
  const { 'ipvs.strictARP': strictARP, ...others } = effective;
  expect(configuration.effective).toMatchObject({ ...others, ipvs: { strictARP } });
  expect(warnings).toHaveLength(note === undefined ? 0 : 1);
  if (note === undefined) loadConfiguration(path, { strict: true });
  else expect(() => loadConfiguration(path, { strict: true })).toThrow(/--strict-config/);
});
