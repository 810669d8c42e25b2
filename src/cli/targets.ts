/** Names of devices and cgroups as this process sees them. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Targets } from './views/attachments.ts';

/** Cgroups looked at in search of one: the roots that agents attach to lie high up. */
const MAX_CGROUPS = 20_000;

/** Reads each kind when it is first asked for. */
export function systemTargets(): Targets {
  let devices: Map<number, string> | undefined;
  let cgroups: Map<bigint, string> | undefined;
  return {
    device(ifindex) {
      devices ??= readDevices();
      return devices.get(ifindex);
    },
    cgroup(id) {
      cgroups ??= readCgroups();
      return cgroups.get(id);
    },
  };
}

/** Asked of `ip`: /sys may show another network namespace than the one this process is in. */
function readDevices(): Map<number, string> {
  try {
    const links: { ifindex: number; ifname: string }[] = JSON.parse(
      execFileSync('ip', ['-j', 'link', 'show'], { encoding: 'utf8', stdio: 'pipe', maxBuffer: 64 * 1024 * 1024 }),
    );
    return new Map(links.map(({ ifindex, ifname }) => [ifindex, ifname]));
  } catch {
    return new Map();
  }
}

/** Cgroups by id, which is the inode of the directory; breadth first. */
function readCgroups(): Map<bigint, string> {
  const found = new Map<bigint, string>();
  const queue = cgroupMounts();
  for (let path = queue.shift(); path !== undefined && found.size < MAX_CGROUPS; path = queue.shift()) {
    const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
    if (stats === undefined || found.has(stats.ino)) continue;
    found.set(stats.ino, path);
    for (const entry of namesIn(path)) {
      const child = join(path, entry);
      if (!entry.includes('.') || statSync(child, { throwIfNoEntry: false })?.isDirectory()) queue.push(child);
    }
  }
  return found;
}

function cgroupMounts(): string[] {
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n');
  return mounts.flatMap((line) => {
    const [, path = '', type] = line.split(' ');
    return type === 'cgroup2' ? [path] : [];
  });
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
