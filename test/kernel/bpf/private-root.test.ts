import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { ensurePinDirectory } from '../../../src/bpf/paths.ts';
import { makePrivate } from '../../../src/bpf/private-root.ts';
import { mountBpffs } from './rig.ts';

const NOBODY = 65_534;
let bpffs: ReturnType<typeof mountBpffs>;

beforeAll(() => {
  bpffs = mountBpffs();
  chmodSync(dirname(bpffs.root), 0o777);
  chmodSync(dirname(dirname(bpffs.root)), 0o755);
});
afterAll(() => bpffs.remove());
beforeEach(() => rmSync(bpffs.root, { recursive: true, force: true }));

/** Does another user get the lock of a directory? */
const nobodyLocks = (directory: string) =>
  spawnSync('setpriv', ['--reuid', String(NOBODY), '--clear-groups', 'flock', '-n', directory, 'true']).status === 0;
const modeOf = (path: string) => statSync(path).mode & 0o777;

it('closes what a former version left open to everybody: nobody else holds a lock', () => {
  const directory = ensurePinDirectory(bpffs.root);
  for (const path of [bpffs.root, directory]) chmodSync(path, 0o755);
  expect([nobodyLocks(bpffs.root), nobodyLocks(directory)]).toEqual([true, true]);
  makePrivate(bpffs.root);
  expect([modeOf(bpffs.root), modeOf(directory)]).toEqual([0o700, 0o700]);
  expect([nobodyLocks(bpffs.root), nobodyLocks(directory)]).toEqual([false, false]);
});

it.each(['', 'v6'])('refuses a directory that another user made: root/%s', (part) => {
  mkdirSync(join(bpffs.root, part), { recursive: true });
  chownSync(join(bpffs.root, part), NOBODY, NOBODY);
  expect(() => makePrivate(bpffs.root)).toThrow(/user 65534 made it; remove it, or choose another --bpf-root/);
});

it('refuses a link in its place', () => {
  symlinkSync('/tmp', bpffs.root);
  expect(() => makePrivate(bpffs.root)).toThrow(/it is no directory/);
});

it('leaves a root that is a mount point as it is', () => {
  const mount = dirname(bpffs.root);
  makePrivate(mount);
  expect(modeOf(mount)).toBe(0o777);
});
