/** The cgroups of pods, by the names that the kubelet gives them. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** `kubepods-burstable-pod<uid, _ for ->.slice` with the systemd driver, `pod<uid>` with cgroupfs. Static pods: 32 digits. */
const POD = /(?:^|-)pod([0-9a-f]{8}(?:[-_]?[0-9a-f]{4}){3}[-_]?[0-9a-f]{12})(?:\.slice)?$/;
/** Directories below the root: those of nested kubelets (kind, k3s) lie deeper than usual. */
const DEPTH = 6;

/** @returns the uid of the pod whose cgroup has this name, with `-`; undefined when it is none's. */
export function podOfCgroup(name: string): string | undefined {
  return POD.exec(name)?.[1]?.replaceAll('_', '-');
}

/**
 * @param root a directory of cgroup v2
 * @param uids of the pods that are looked for
 * @returns the ids of their cgroups below the root, by uid. What cannot be read is passed over: cgroups come and go
 *   meanwhile.
 */
export async function findPodCgroups(root: string, uids: ReadonlySet<string>): Promise<Map<string, bigint>> {
  const found = new Map<string, bigint>();

  async function walk(directory: string, depth: number): Promise<void> {
    const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
    const inner: Promise<void>[] = [];
    for (const entry of entries) {
      if (!entry.isDirectory()) continue;
      const path = join(directory, entry.name);
      const uid = podOfCgroup(entry.name);
      if (uid === undefined ? depth >= DEPTH : !uids.has(uid)) continue;
      if (uid !== undefined) inner.push(identify(uid, path));
      else inner.push(walk(path, depth + 1));
    }
    await Promise.all(inner);
  }

  async function identify(uid: string, path: string): Promise<void> {
    const stats = await stat(path, { bigint: true }).catch(() => undefined);
    if (stats !== undefined) found.set(uid, stats.ino);
  }

  await walk(root, 1);
  return found;
}
