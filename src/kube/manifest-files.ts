/** The manifest files of a directory tree, with what tells that a file changed. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

export interface ManifestTree {
  /** Path to a text that differs when the file was written, replaced or pointed elsewhere. */
  readonly files: ReadonlyMap<string, string>;
  /** Path to what tells one directory from another that took its place. */
  readonly directories: ReadonlyMap<string, string>;
}

const MAX_DEPTH = 16;

/**
 * Follows links, of files and of directories: a mounted ConfigMap is made of them. Names that start
 * with a dot are passed over: the ConfigMap's own `..data`, and editors' temporary files.
 * @returns files in the order of their paths
 * @throws when the directory itself cannot be read
 */
export async function findManifests(root: string): Promise<ManifestTree> {
  const files: [string, string][] = [];
  const directories = new Map<string, string>();
  const visited = new Set<string>();

  async function walk(directory: string, identity: string, depth: number): Promise<void> {
    const entries = await readdir(directory);
    directories.set(directory, identity);
    visited.add(identity);
    for (const name of entries) {
      if (name.startsWith('.')) continue;
      const path = join(directory, name);
      // Gone since it was listed, or a link to nothing: as if it were not there.
      const info = await stat(path, { bigint: true }).catch(() => undefined);
      if (info === undefined) continue;
      const identity = `${info.dev}:${info.ino}`;
      if (info.isFile() && /\.(yaml|yml|json)$/.test(name)) {
        files.push([path, `${identity}:${info.size}:${info.mtimeNs}:${info.ctimeNs}`]);
      } else if (info.isDirectory() && depth < MAX_DEPTH && !visited.has(identity)) {
        await walk(path, identity, depth + 1).catch(() => {});
      }
    }
  }

  const { dev, ino } = await stat(root, { bigint: true });
  await walk(root, `${dev}:${ino}`, 0);
  files.sort(([a], [b]) => (a < b ? -1 : 1));
  return { files: new Map(files), directories };
}
