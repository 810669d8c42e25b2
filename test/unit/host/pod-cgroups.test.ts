import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { findPodCgroups, podOfCgroup } from '../../../src/host/pod-cgroups.ts';

const UID = '0f3a5b1c-22d4-4e6f-8a90-b1c2d3e4f506';
const UNDER = UID.replaceAll('-', '_');
const HASH = UID.replaceAll('-', '');

test.each([
  [`kubepods-burstable-pod${UNDER}.slice`, UID],
  [`kubepods-pod${UNDER}.slice`, UID],
  [`kubelet-kubepods-besteffort-pod${UNDER}.slice`, UID],
  [`pod${UID}`, UID],
  [`pod${HASH}`, HASH],
  [`kubepods-burstable-pod${HASH}.slice`, HASH],
  ['kubepods.slice', undefined],
  ['kubepods-burstable.slice', undefined],
  ['podman.slice', undefined],
  [`cri-containerd-${HASH}.scope`, undefined],
  [`libpod-${HASH}${HASH}.scope`, undefined],
  [`pod${UID}.scope`, undefined],
])('%s is the cgroup of pod %s', (name, uid) => {
  expect(podOfCgroup(name)).toBe(uid);
});

test('pods are found below a root by their inodes; what is inside of one is not looked at', async () => {
  const root = mkdtempSync(join(tmpdir(), 'sluice-cgroups-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const other = UID.replace('0f', 'ff');
  const systemd = join(root, 'kubepods.slice/kubepods-burstable.slice', `kubepods-burstable-pod${UNDER}.slice`);
  const cgroupfs = join(root, 'system.slice/docker.scope/kubelet/kubepods/besteffort', `pod${other}`);
  const foreign = join(root, 'kubepods.slice', `kubepods-pod${UNDER.replace('0f', 'ee')}.slice`);
  for (const path of [systemd, cgroupfs, foreign]) mkdirSync(join(path, `inner/pod${HASH}`), { recursive: true });
  const wanted = new Set([UID, other, HASH]);
  expect(await findPodCgroups(root, wanted)).toEqual(
    new Map([
      [UID, statSync(systemd, { bigint: true }).ino],
      [other, statSync(cgroupfs, { bigint: true }).ino],
    ]),
  );
  expect(await findPodCgroups(join(root, 'none'), wanted)).toEqual(new Map());
});
