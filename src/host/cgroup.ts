/** Where cgroup v2 is mounted. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The root of all cgroups has no type; whatever is mounted of a private cgroup namespace has one. */
const isWhole = (directory: string) => !existsSync(join(directory, 'cgroup.type'));

export interface Cgroup2Mount {
  readonly directory: string;
  /** False: only a part of the machine's cgroups is below it, as in a container with a cgroup namespace of its own. */
  readonly whole: boolean;
}

/**
 * @param mounts contents of /proc/self/mounts
 * @returns the first cgroup2 mount that has all of the machine's cgroups, else the first one: /sys/fs/cgroup, or
 *   /sys/fs/cgroup/unified where version 1 is mounted beside it. undefined: there is none.
 */
export function cgroup2Mount(
  mounts = readFileSync('/proc/self/mounts', 'utf8'),
  whole: (directory: string) => boolean = isWhole,
): Cgroup2Mount | undefined {
  const directories = mounts.split('\n').flatMap((line) => {
    const [, directory, type] = line.split(' ');
    return type === 'cgroup2' && directory !== undefined ? [directory] : [];
  });
  const best = directories.find(whole);
  if (best !== undefined) return { directory: best, whole: true };
  return directories[0] === undefined ? undefined : { directory: directories[0], whole: false };
}
