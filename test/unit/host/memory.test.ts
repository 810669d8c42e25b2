import { expect, test } from 'vitest';
import { memoryText, memoryUse } from '../../../src/host/memory.ts';

const MIB = 1024 * 1024;
const files = (content: Record<string, string>) => (path: string) => {
  const text = content[path];
  if (text === undefined) throw new Error(`ENOENT: ${path}`);
  return text;
};

const POD = {
  '/cg/kubepods/memory.max': `${300 * MIB}\n`,
  '/cg/kubepods/pod/memory.max': 'max\n',
  '/cg/kubepods/pod/memory.current': `${290 * MIB}\n`,
  '/cg/kubepods/pod/memory.stat': `anon 1\ninactive_file ${10 * MIB}\n`,
};

test('the smallest limit of the cgroup and those above counts, files in the cache do not', () => {
  const use = memoryUse('/cg', '0::/kubepods/pod\n', files(POD));
  expect(use).toEqual({ limit: 300 * MIB, used: 280 * MIB });
  expect(memoryText(use)).toMatch(/more than 90 % of the limit of 300 MiB is in use: raise it to 384 MiB/);
});

test('there is room, no limit, or nothing known: nothing is amiss', () => {
  expect(memoryText({ limit: 300 * MIB, used: 100 * MIB })).toBeUndefined();
  expect(memoryUse('/cg', '0::/kubepods/pod\n', files({ ...POD, '/cg/kubepods/memory.max': 'max' }))).toBeUndefined();
  expect(memoryUse('/cg', '1:memory:/x\n', files({}))).toBeUndefined();
});
