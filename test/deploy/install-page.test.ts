/** docs/install.md: what it names is there, and its commands that need no cluster run. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { CHART, haveKustomize, overlays, REPOSITORY } from '../support/deploy/manifests.ts';

const page = readFileSync(join(REPOSITORY, 'docs/install.md'), 'utf8');
const commands = [...page.matchAll(/```\n([\s\S]*?)```/g)].flatMap(([, block = '']) =>
  block
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean),
);

it('names each overlay, and only those', () => {
  for (const name of overlays) expect(page).toContain(`| \`${name}\` |`);
  const applied = commands.flatMap((line) => /-k (\S+)/.exec(line)?.[1] ?? []);
  expect(applied.length).toBeGreaterThan(1);
  for (const path of applied) {
    expect(existsSync(join(REPOSITORY, path, 'kustomization.yaml')), path).toBe(true);
    if (haveKustomize) execFileSync('kubectl', ['kustomize', join(REPOSITORY, path)]);
  }
});

it('sets values that the chart has', () => {
  const values = parse(readFileSync(join(CHART, 'values.yaml'), 'utf8'));
  const set = commands.flatMap((line) =>
    [...line.matchAll(/--set(?:-string)? '?([\w.]+)=/g)].map(([, key = '']) => key),
  );
  expect(set.length).toBeGreaterThan(4);
  for (const key of set) {
    const found = key.split('.').reduce((at, part) => at?.[part], values);
    expect(found, key).toBeDefined();
  }
});

it('calls kubectl sluice as it can be called', () => {
  const plugin = join(REPOSITORY, 'deploy/kubectl/kubectl-sluice');
  expect(execFileSync('sh', [plugin, '--help'], { encoding: 'utf8' })).toContain('--node NAME');
  expect(commands.filter((line) => line.startsWith('kubectl sluice')).length).toBeGreaterThan(1);
  expect(readdirSync(join(REPOSITORY, 'deploy/kubectl'))).toContain('kubectl-sluice');
});
