import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { describeFeature, probeFeatures } from '../../../src/bpf/features.ts';
import { measureJiffiesPerSecond } from '../../../src/bpf/jiffies.ts';
import { loadPrograms } from '../../../src/bpf/loader.ts';
import { acquireLock } from '../../../src/bpf/lock.ts';
import { netnsCookie } from '../../../src/bpf/netns.ts';
import { ensurePinDirectory, removePinDirectory } from '../../../src/bpf/paths.ts';
import { checkBpffs, checkCgroup2, checkPrivileges } from '../../../src/bpf/preconditions.ts';
import { zeroKnobs } from './knobs.ts';
import { enterNamespace, makeCgroup, mountBpffs, SMALL_MAPS } from './rig.ts';

const built = fileURLToPath(new URL('../../../dist/bpf/', import.meta.url));
const objects = ['sock.bpf.o', 'tc.bpf.o'];
let bpffs: ReturnType<typeof mountBpffs>;

beforeAll(() => {
  bpffs = mountBpffs();
});
afterAll(() => bpffs?.remove());

/** Whether the running kernel is at least that old; Linux keeps what it has once had. */
function atLeast(version: string): boolean {
  const [major = 0, minor = 0] = release().split('.').map(Number);
  const [wantedMajor = 0, wantedMinor = 0] = version.split('.').map(Number);
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}

describe('features', () => {
  it('are what the version of a mainline kernel promises', () => {
    const features = probeFeatures();
    expect(features.map(describeFeature)).toEqual(
      features.map((f) => describeFeature({ ...f, present: atLeast(f.kernel) })),
    );
  });
});

describe('preconditions', () => {
  it('accept this machine', () => {
    const cgroup = makeCgroup();
    expect(() => checkPrivileges()).not.toThrow();
    expect(() => checkBpffs(bpffs.root)).not.toThrow();
    expect(() => checkCgroup2(cgroup.path)).not.toThrow();
    cgroup.remove();
  });

  it('make and remove the pin directory', () => {
    const pins = ensurePinDirectory(bpffs.root);
    expect(ensurePinDirectory(bpffs.root)).toBe(pins);
    removePinDirectory(bpffs.root);
    expect(existsSync(bpffs.root)).toBe(false);
  });
});

describe('the network namespace', () => {
  it('has a cookie of its own', () => {
    const home = netnsCookie();
    const namespace = enterNamespace();
    const inner = netnsCookie();
    namespace.leave();
    expect(home).not.toBe(0n);
    expect(inner).not.toBe(0n);
    expect(inner).not.toBe(home);
    expect(netnsCookie()).toBe(home);
  });
});

describe('the lock', () => {
  it('is held once, says by whom, and is free again', () => {
    const directory = mkdtempSync(join(tmpdir(), 'sluice-lock-'));
    const lock = acquireLock(directory);
    expect(() => acquireLock(directory)).toThrow(
      expect.objectContaining({ code: 'STATE_LOCKED', message: expect.stringContaining(String(process.pid)) }),
    );
    lock.release();
    acquireLock(directory).release();
    rmSync(directory, { recursive: true });
  });
});

describe.runIf(objects.every((name) => existsSync(join(built, name))))('the built objects', () => {
  it('load, and count jiffies', async () => {
    const pinDirectory = ensurePinDirectory(bpffs.root);
    const loaded = await loadPrograms({
      objectDirectory: built,
      pinDirectory,
      knobs: zeroKnobs,
      mapSizes: SMALL_MAPS,
      optional: ['getpeername4', 'getpeername6'],
    });
    expect([...loaded.programs.keys()].sort()).toEqual([
      ...['connect4', 'connect6', 'egress', 'getpeername4', 'getpeername6', 'ingress'],
      ...['post_bind4', 'post_bind6', 'recvmsg4', 'recvmsg6', 'sendmsg4', 'sendmsg6', 'skb_egress', 'sock_release'],
      ...['sweep_flows', 'sweep_half_open'],
    ]);
    expect(loaded.skipped).toEqual([]);
    expect([100, 250, 300, 1000]).toContain(await measureJiffiesPerSecond());
    loaded.close();
    removePinDirectory(bpffs.root);
  });
});
