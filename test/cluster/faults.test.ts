/**
 * Each call by which the agent asks something of the kernel fails, from each place in turn, with each of eight errnos: what was in
 * force stays so, what could not be put in force is known, and is in force once the kernel says yes again.
 * FAULTS_EVERY=1 tries all of them (minutes), the default one of some.
 */
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createLab, type Lab } from '../support/lab/lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await createLab({ nodes: 1, podsPerNode: 2 });
});
afterAll(() => lab?.destroy());

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

it('no errno of any call is believed to have been a success, nor loses what is in force', async () => {
  const node = lab.node(1);
  const every = process.env.FAULTS_EVERY ?? '9';
  const command = [path('../../node_modules/.bin/tsx'), path('../support/faults/sweep.ts')];
  const words = [...command, node.bpfRoot, node.cgroupRoot, path('../../dist/bpf'), every];
  const { code, stdout, stderr } = await node.exec(words, { timeoutMs: 1_000_000 });
  const lines = stdout
    .split('\n')
    .flatMap((line): Record<string, unknown>[] => (line === '' ? [] : [JSON.parse(line)]));
  expect(lines.filter(({ wrong }) => wrong !== undefined)).toEqual([]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const { cases } = lines.find(({ done }) => done === true) ?? {};
  expect(cases).toBeGreaterThan(30);
}, 1_000_000);
