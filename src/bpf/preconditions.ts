/** What the machine must have before anything is loaded: one clear line for each thing missing. */
import { existsSync, readFileSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { SluiceError } from '../model/errors.ts';

const BPF_FS_MAGIC = 0xcafe4a11;
const CGROUP2_MAGIC = 0x63677270;
const CAPABILITIES = { CAP_NET_ADMIN: 12, CAP_SYS_ADMIN: 21, CAP_PERFMON: 38, CAP_BPF: 39 } as const;

/** Type of the file system that a path, or the nearest parent that exists, lies on. */
function fileSystemOf(path: string): number {
  let at = path;
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at);
  return statfsSync(at).type >>> 0;
}

/** @throws SluiceError BPFFS_MISSING unless the path lies, or would lie, on bpffs. */
export function checkBpffs(path: string): void {
  if (fileSystemOf(path) === BPF_FS_MAGIC) return;
  throw new SluiceError(
    'BPFFS_MISSING',
    `pin under ${path}: no bpffs is mounted there; run "mount -t bpf bpf /sys/fs/bpf", or choose --bpf-root`,
  );
}

/** @throws SluiceError CGROUP_MISSING unless the directory is there and of cgroup v2. */
export function checkCgroup2(directory: string): void {
  if (!existsSync(directory)) {
    throw new SluiceError('CGROUP_MISSING', `attach to cgroup ${directory}: no such directory; choose --cgroup-root`);
  }
  if (fileSystemOf(directory) === CGROUP2_MAGIC) return;
  throw new SluiceError(
    'CGROUP_MISSING',
    `attach to cgroup ${directory}: not cgroup v2; choose a directory under the cgroup2 mount (see "mount -t cgroup2") with --cgroup-root`,
  );
}

/** Effective capabilities of this process as a bit mask. */
export function effectiveCapabilities(status = readFileSync('/proc/self/status', 'utf8')): bigint {
  return BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
}

/**
 * @throws SluiceError PERMISSION that names the capabilities missing. CAP_SYS_ADMIN stands for
 * CAP_BPF and CAP_PERFMON (without which the verifier refuses to compare pointers), as in the kernel; attaching to devices and cgroups wants CAP_NET_ADMIN beside it.
 */
export function checkPrivileges(capabilities = effectiveCapabilities()): void {
  const has = (name: keyof typeof CAPABILITIES) => (capabilities >> BigInt(CAPABILITIES[name])) % 2n === 1n;
  const missing = [
    ...(has('CAP_BPF') || has('CAP_SYS_ADMIN') ? [] : ['CAP_BPF']),
    ...(has('CAP_NET_ADMIN') ? [] : ['CAP_NET_ADMIN']),
    ...(has('CAP_PERFMON') || has('CAP_SYS_ADMIN') ? [] : ['CAP_PERFMON']),
  ];
  if (missing.length === 0) return;
  throw new SluiceError(
    'PERMISSION',
    `load programs: ${missing.join(' and ')} missing; run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON`,
  );
}
