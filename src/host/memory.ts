/** How much memory the cgroup of this process may take, and takes: maps that it made count, beside itself. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export interface MemoryUse {
  /** Bytes; the smallest limit of the cgroup and those above it. */
  readonly limit: number;
  /** Bytes that cannot be given back: without files that are only cached. */
  readonly used: number;
}

const MIB = 1024 * 1024;
/** From so much of the limit on, an OOM kill is near. */
const NEAR = 0.9;
/** What is asked for beside what is used now: changes need room. */
const ROOM = 1.3;

/**
 * @param mount where cgroup v2 is mounted @param own contents of /proc/self/cgroup
 * @param read contents of a file @returns undefined when there is no limit, or none is known
 */
export function memoryUse(
  mount: string,
  own = readFileSync('/proc/self/cgroup', 'utf8'),
  read = (path: string) => readFileSync(path, 'utf8'),
): MemoryUse | undefined {
  const path = /^0::(\/.*)$/m.exec(own)?.[1];
  if (path === undefined) return undefined;
  const number = (file: string): number | undefined => {
    try {
      const text = read(file).trim();
      return /^\d+$/.test(text) ? Number(text) : undefined;
    } catch {
      return undefined;
    }
  };
  const directory = join(mount, path);
  let limit = Number.POSITIVE_INFINITY;
  for (let at = directory; at.startsWith(mount) && at !== dirname(at); at = dirname(at))
    limit = Math.min(limit, number(join(at, 'memory.max')) ?? limit);
  const current = number(join(directory, 'memory.current'));
  if (limit === Number.POSITIVE_INFINITY || current === undefined) return undefined;
  let cached = 0;
  try {
    cached = Number(/^inactive_file (\d+)$/m.exec(read(join(directory, 'memory.stat')))?.[1] ?? 0);
  } catch {
    // Then all of it counts.
  }
  return { limit, used: Math.max(0, current - cached) };
}

/** @returns what is amiss, and what is needed; undefined: there is room */
export function memoryText(use: MemoryUse | undefined): string | undefined {
  if (use === undefined || use.used < use.limit * NEAR) return undefined;
  const [limit, needed] = [Math.floor(use.limit / MIB), Math.ceil((use.used * ROOM) / MIB / 64) * 64];
  return `more than ${NEAR * 100} % of the limit of ${limit} MiB is in use: raise it to ${needed} MiB, or the kernel ends this agent`;
}
