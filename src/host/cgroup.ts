/** Where cgroup v2 is mounted. */
import { readFileSync } from 'node:fs';

/**
 * @param mounts contents of /proc/self/mounts
 * @returns the first cgroup2 mount: /sys/fs/cgroup, or /sys/fs/cgroup/unified where version 1 is mounted beside it.
 */
export function cgroup2Mount(mounts = readFileSync('/proc/self/mounts', 'utf8')): string | undefined {
  for (const line of mounts.split('\n')) {
    const [, directory, type] = line.split(' ');
    if (type === 'cgroup2') return directory;
  }
  return undefined;
}
