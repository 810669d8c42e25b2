/** Removing a lab without the process that made it, and seeing what is still there. */
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { cgroupPids, destroyCgroup } from './cgroup.ts';
import { attempt } from './command.ts';
import { cgroupDirectory, netnsName, runDirectory } from './names.ts';
import { hasOwner, liveOwner } from './owner.ts';

function namesIn(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}

/** Network namespaces of the lab. */
export function labNamespaces(id: string): string[] {
  return namesIn('/run/netns').filter((name) => name.startsWith(netnsName(id, '')));
}

/** Mount points inside the lab's directory, the last mounted first. */
function labMounts(id: string): string[] {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((path) => path.startsWith(`${runDirectory(id)}/`))
    .reverse();
}

/**
 * Ends every process of the lab (those in its own cgroups, by pid), then removes its mounts,
 * namespaces, cgroups and directory. What is absent is fine, so that it can be called again.
 */
export async function destroyLab(id: string): Promise<void> {
  if (existsSync(cgroupDirectory(id))) await destroyCgroup(cgroupDirectory(id));
  for (const path of labMounts(id)) await attempt('umount', [path]);
  // With -force one that somebody else has just removed does not keep the others.
  await attempt(
    'ip',
    ['-force', '-batch', '-'],
    labNamespaces(id)
      .map((name) => `netns del ${name}\n`)
      .join(''),
  );
  rmSync(runDirectory(id), { recursive: true, force: true });
}

/** Everything of one lab that exists, a line each: none after `destroy`. */
export function listLeftovers(id: string): string[] {
  const cgroup = cgroupDirectory(id);
  return [
    ...labNamespaces(id).map((name) => `namespace ${name}`),
    ...cgroupPids(cgroup).map((pid) => `process ${pid}`),
    ...(existsSync(cgroup) ? [`cgroup ${cgroup}`] : []),
    ...labMounts(id).map((path) => `mount ${path}`),
    ...(existsSync(runDirectory(id)) ? [`directory ${runDirectory(id)}`] : []),
  ];
}

/** Ids of the labs on this machine. */
export function listLabs(): string[] {
  return namesIn('/run')
    .flatMap((name) => /^sluice-([a-z0-9]+)$/.exec(name)?.[1] ?? [])
    .filter(hasOwner);
}

/** Removes labs whose owner is gone. @returns their ids */
export async function cleanLeftovers(): Promise<string[]> {
  const dead = listLabs().filter((id) => liveOwner(id) === undefined);
  for (const id of dead) await destroyLab(id);
  return dead;
}
