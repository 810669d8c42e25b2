import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { kernel } from '../../../src/cli/kernel.ts';
import { removeEverything } from '../../../src/cli/remove.ts';
import { sluice } from './fake-kernel.ts';

let root: string;
beforeEach(() => {
  root = join(mkdtempSync(join(tmpdir(), 'sluice-cli-')), 'root');
});
afterEach(() => rmSync(join(root, '..'), { recursive: true }));

/** Plain files stand for pins. */
function pin(...names: string[]): void {
  for (const name of names) {
    mkdirSync(join(root, name, '..'), { recursive: true });
    writeFileSync(join(root, name), '');
  }
}

test('R-89: removes the pins of every schema version, and the root', () => {
  pin('v1/maps/frontends', 'v1/maps/flows', 'v1/progs/connect4', 'v1/links/connect4', 'v0/maps/frontends');
  expect(removeEverything(root)).toEqual({
    links: 1,
    filters: 0,
    programs: 1,
    maps: 3,
    directories: [join(root, 'v0'), join(root, 'v1')],
  });
  expect(existsSync(root)).toBe(false);
});

test('what is not ours stays', () => {
  pin('v1/maps/frontends', 'other/maps/x');
  removeEverything(root);
  expect(existsSync(join(root, 'other/maps/x'))).toBe(true);
  expect(existsSync(join(root, 'v1'))).toBe(false);
});

test('again, with nothing left: no error', async () => {
  const outcome = await sluice(['cleanup', '--bpf-root', root], { agentHolds: () => false, removeEverything });
  expect(outcome).toMatchObject({ code: 0, out: `nothing to remove under ${root}\n` });
});

test('nothing pinned: the message says where and what to do', async () => {
  const run = () => sluice(['status', '--bpf-root', root], { openMaps: kernel.openMaps });
  const { code, err } = await run();
  expect(code).toBe(1);
  expect(err).toMatch(/^sluice: no maps under .*\/root\/v\d+: Sluice has not run here; start "sluice agent", or .*\n$/);
  pin('v99/maps/frontends');
  expect((await run()).err).toContain("those of schema v99 are another version's");
});

test('cleanup beside an agent that runs is refused: it would put back what it needs', async () => {
  const removeEverything = vi.fn();
  const { code, err } = await sluice(['cleanup'], { agentHolds: () => true, removeEverything });
  expect([code, err]).toEqual([1, expect.stringContaining('an agent holds it')]);
  expect(removeEverything).not.toHaveBeenCalled();
});

test('cleanup takes away the tables that a migration left', async () => {
  const removeKeepingTables = () => 2;
  const outcome = await sluice(['cleanup'], { agentHolds: () => false, removeKeepingTables });
  expect(outcome).toMatchObject({ code: 0, out: 'removed 2 tables\n' });
});
