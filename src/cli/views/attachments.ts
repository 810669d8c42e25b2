/** Which program is attached where, from the pinned links and the records of clsact filters. */
import { CGROUP_ATTACH_TYPES } from '../../bpf/attach-cgroup.ts';
import type { PinnedLink } from '../../bpf/links.ts';
import { TCX_ATTACH_TYPES } from '../../bpf/tcx.ts';
import { compareBy } from '../format.ts';
import type { ClsactFilter } from '../kernel.ts';

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
    hook: link.kind === 'xdp' ? xdpHook(link.name) : (HOOKS.get(link.attachType) ?? `${link.kind} ${link.attachType}`),
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
  return link.kind === 'cgroup'
    ? (targets.cgroup(link.target) ?? `cgroup ${link.target}`)
    : device(Number(link.target));
}

/** The pin's name says the mode: `xdp7_native`. */
function xdpHook(name: string): string {
  return `xdp ${name.split('_')[1] ?? ''}`.trim();
}
