import { expect, test } from 'vitest';
import { cgroup2Mount } from '../../../src/host/cgroup.ts';

const MOUNTS = `proc /proc proc rw 0 0
cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0
tmpfs /run tmpfs rw 0 0
cgroup2 /host/cgroup cgroup2 ro 0 0
`;

test('the first cgroup2 mount, where it has all cgroups', () => {
  expect(cgroup2Mount(MOUNTS, () => true)).toEqual({ directory: '/sys/fs/cgroup', whole: true });
  expect(cgroup2Mount('proc /proc proc rw 0 0\n', () => true)).toBeUndefined();
});

test("in a container with a cgroup namespace of its own: the machine's, when that is mounted too", () => {
  expect(cgroup2Mount(MOUNTS, (directory) => directory === '/host/cgroup')).toEqual({
    directory: '/host/cgroup',
    whole: true,
  });
});

test('and else the first one, as a part', () => {
  expect(cgroup2Mount(MOUNTS, () => false)).toEqual({ directory: '/sys/fs/cgroup', whole: false });
});
