/** Which program is attached where, from the pinned links and the records of clsact filters. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { CGROUP_ATTACH_TYPES } from '../../bpf/attach-cgroup.ts';
import type { PinnedLink } from '../../bpf/links.ts';
import { TCX_ATTACH_TYPES } from '../../bpf/tcx.ts';
import type { ClsactFilter } from '../kernel.ts';
import { compareBy } from '../format.ts';

export interface AttachmentRow {
  /** Name of the program, or its id when it is not pinned. */
  readonly program: string;
  /** e.g. `connect4`, `tcx ingress`, `clsact egress`. */
  readonly hook: string;
  /** Name of a device or path of a cgroup; `ifindex 7` or `cgroup 42` when it is not seen from here. */
  readonly target: string;
  /** `detached`: the cgroup or device is gone. `recorded`: a filter, which says nothing itself. */
  readonly state: 'attached' | 'detached' | 'recorded';
}

/** Names of what links are attached to. */
export interface Targets {
  device(ifindex: number): string | undefined;
  cgroup(id: bigint): string | undefined;
}

const HOOKS = new Map<number, string>([
  ...Object.entries(CGROUP_ATTACH_TYPES).map(([name, type]): [number, string] => [type, name]),
  ...Object.entries(TCX_ATTACH_TYPES).map(([name, type]): [number, string] => [type, `tcx ${name}`]),
]);

export function readAttachments(
  links: readonly PinnedLink[],
  filters: readonly ClsactFilter[],
  programs: readonly { readonly name: string; readonly id: number }[],
  targets: Targets,
): AttachmentRow[] {
  const names = new Map(programs.map(({ name, id }) => [id, name]));
  const device = (ifindex: number) => targets.device(ifindex) ?? `ifindex ${ifindex}`;
  const rows: AttachmentRow[] = links.map((link) => ({
    program: names.get(link.programId) ?? `program ${link.programId}`,
    hook: HOOKS.get(link.attachType) ?? `${link.kind} ${link.attachType}`,
    target: link.attached ? targetOf(link, device, targets) : '',
    state: link.attached ? 'attached' : 'detached',
  }));
  for (const { ifindex, direction } of filters) {
    rows.push({ program: '', hook: `clsact ${direction}`, target: device(ifindex), state: 'recorded' });
  }
  return rows.sort(
    compareBy(
      (row) => row.target,
      (row) => row.hook,
      (row) => row.program,
    ),
  );
}

function targetOf(link: PinnedLink, device: (ifindex: number) => string, targets: Targets): string {
  return link.kind === 'cgroup' ? (targets.cgroup(link.target) ?? `cgroup ${link.target}`) : device(Number(link.target));
}

/** Cgroups looked at in search of one: the roots that agents attach to lie high up. */
const MAX_CGROUPS = 20_000;

/** Devices and cgroups as this process sees them. */
export function systemTargets(): Targets {
  let devices: Map<number, string> | undefined;
  let cgroups: Map<bigint, string> | undefined;
  return {
    device(ifindex) {
      devices ??= new Map(namesIn('/sys/class/net').flatMap(deviceOf));
      return devices.get(ifindex);
    },
    cgroup(id) {
      cgroups ??= readCgroups();
      return cgroups.get(id);
    },
  };
}

function deviceOf(name: string): [number, string][] {
  try {
    return [[Number(readFileSync(join('/sys/class/net', name, 'ifindex'), 'utf8')), name]];
  } catch {
    return [];
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
