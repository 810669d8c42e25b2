/** What a lab's things are called: everything carries the id of the run. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const mounts = '/proc/self/mounts';

/** Where state of a lab lives: owner, logs, sockets, bpffs. */
export function runDirectory(id: string): string {
  return `/run/sluice-${id}`;
}

/** `sl-<id>-<rest>` as `ip netns` shows it. */
export function netnsName(id: string, rest: string): string {
  return `sl-${id}-${rest}`;
}

/** The path that nsenter and setns take. */
export function netnsPath(name: string): string {
  return join('/run/netns', name);
}

/**
 * The mount point of cgroup v2: /sys/fs/cgroup on a unified machine, elsewhere on a hybrid one.
 * @throws Error when cgroup v2 is not mounted.
 */
export function cgroup2Root(): string {
  for (const line of readFileSync(mounts, 'utf8').split('\n')) {
    const [, path, type] = line.split(' ');
    if (type === 'cgroup2' && path !== undefined) return path;
  }
  throw new Error('find cgroup v2: none mounted; try: mount -t cgroup2 none /sys/fs/cgroup/unified');
}

/** The cgroup subtree of a lab. */
export function cgroupDirectory(id: string): string {
  return join(cgroup2Root(), `sluice-${id}`);
}
