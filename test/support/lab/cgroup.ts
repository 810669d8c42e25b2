/** Cgroups of a lab: made under its own subtree, emptied and removed with it. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { poll } from './poll.ts';

/** Makes the cgroup and those above it. @returns its path */
export function makeCgroup(path: string): string {
  mkdirSync(path, { recursive: true });
  return path;
}

/** A cgroup and all below it, the deepest first. */
function subtree(path: string): string[] {
  if (!existsSync(path)) return [];
  const children = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return [...children.flatMap((child) => subtree(join(path, child.name))), path];
}

/** Every process in the cgroup or below it. */
export function cgroupPids(path: string): number[] {
  return subtree(path).flatMap((group) => {
    try {
      const pids = readFileSync(join(group, 'cgroup.procs'), 'utf8').trim();
      return pids === '' ? [] : pids.split('\n').map(Number);
    } catch {
      return []; // removed meanwhile
    }
  });
}

/** Ends what runs in the cgroup and removes it with all below; absent is fine. */
export async function destroyCgroup(path: string): Promise<void> {
  await poll(`end the processes in ${path}`, () => {
    const pids = cgroupPids(path);
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // gone meanwhile
      }
    }
    return pids.length === 0;
  });
  // A dead process stays charged to its cgroup until it is reaped: rmdir says busy for a moment.
  await poll(`remove ${path}`, () => subtree(path).every(removed));
}

function removed(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return true;
    if (code === 'EBUSY' || code === 'ENOTEMPTY') return false;
    throw error;
  }
}
