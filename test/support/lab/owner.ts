/** Whose lab it is: the process that made it, told apart from a later one with the same pid. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runDirectory } from './names.ts';

/** Start of a process in clock ticks since boot; undefined when there is no such process (or only a zombie). */
function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

function ownerFile(id: string): string {
  return join(runDirectory(id), 'owner');
}

/** Records that this process owns the lab. */
export function writeOwner(id: string): void {
  writeFileSync(ownerFile(id), `${process.pid} ${startTime(process.pid)}\n`);
}

/** Is it a lab at all? Other tools may have directories of a like name. */
export function hasOwner(id: string): boolean {
  return existsSync(ownerFile(id));
}

/** @returns the pid of the owner, or undefined when it is gone. */
export function liveOwner(id: string): number | undefined {
  if (!hasOwner(id)) return undefined;
  const [pid, start] = readFileSync(ownerFile(id), 'utf8').trim().split(' ');
  return start !== undefined && startTime(Number(pid)) === start ? Number(pid) : undefined;
}
