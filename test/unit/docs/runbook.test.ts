/** docs/runbook.md has a section for each alert, and none for another; what it tells to type there is. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { sluice } from '../cli/fake-kernel.ts';

const read = (path: string) => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');
const page = read('docs/runbook.md');
const sections = new Map(
  page
    .split(/^## /m)
    .slice(1)
    .map((section) => [section.slice(0, section.indexOf('\n')), section]),
);
const alertsIn = (path: string) => [...read(path).matchAll(/^\s*- alert: (\S+)$/gm)].map(([, name]) => name);

test.each([
  'deploy/helm/sluice/files/rules.yaml',
  'deploy/kustomize/overlays/monitoring/prometheusrule.yaml',
])('each alert of %s, and no other', (path) => {
  expect([...sections.keys()].sort()).toEqual(alertsIn(path).sort());
});

test.each([...sections])('%s: what it means, and steps', (_, section) => {
  expect(section).toMatch(/\*\*What it means\.\*\*/);
  expect(section.match(/^\d\. /gm)?.length).toBeGreaterThan(1);
});

test('each command and flag of sluice is one', async () => {
  const commands = [...page.matchAll(/`sluice ([a-z][^`…]*)`/g)].map(([, words = '']) => words.split(' '));
  expect(commands.length).toBeGreaterThan(8);
  for (const words of commands) {
    const names = words.filter((word) => !word.startsWith('-'));
    const command = names[0] === 'service' || names[0] === 'flow' ? names.slice(0, 2) : names.slice(0, 1);
    const { code, out } = await sluice([...command, '--help']);
    expect({ words, code }).toEqual({ words, code: 0 });
    for (const flag of words.filter((word) => word.startsWith('--'))) expect(out).toContain(flag);
  }
});
