/** The objects of a manifest directory, file by file: what each file last said while it could be read. */
import { readFile } from 'node:fs/promises';
import { relative } from 'node:path';
import type { KubernetesObject } from '../model/kubernetes.ts';
import type { SourceListener } from '../model/source.ts';
import { findManifests } from './manifest-files.ts';
import { ManifestError, parseManifests } from './manifest-parse.ts';

interface ManifestFile {
  /** Differs when the file was written or replaced. */
  readonly signature: string;
  readonly objects: readonly KubernetesObject[];
  readonly fault: string | undefined;
}

export interface ManifestStore {
  /**
   * Reads the files that changed. A file that cannot be read keeps what it said last.
   * @returns the directories found and whether an object may have changed; undefined when the directory cannot be read
   */
  rescan(): Promise<{ directories: ReadonlyMap<string, string>; changed: boolean } | undefined>;
  /** Every object, in the order of the files' paths, with its file's path below the directory. */
  objects(): Iterable<readonly [file: string, object: KubernetesObject]>;
}

export function createManifestStore(directory: string, report: SourceListener['problem']): ManifestStore {
  let files = new Map<string, ManifestFile>();
  let unreadable: string | undefined;

  async function load(
    path: string,
    signature: string,
    before: ManifestFile | undefined,
  ): Promise<ManifestFile | undefined> {
    try {
      const objects = parseManifests(path, await readFile(path, 'utf8'));
      if (before?.fault !== undefined) report({ object: path, message: 'reads well again' });
      return { signature, objects, fault: undefined };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      const line = error instanceof ManifestError && error.line !== undefined ? ` line ${error.line}:` : '';
      const fault = `read ${path}:${line} ${(error as Error).message}; its last good contents stay in force`;
      if (fault !== before?.fault) report({ object: path, message: fault });
      return { signature, objects: before?.objects ?? [], fault };
    }
  }

  return {
    async rescan() {
      let tree: Awaited<ReturnType<typeof findManifests>>;
      try {
        tree = await findManifests(directory);
      } catch (error) {
        const message = `read ${directory}: ${(error as Error).message}; what it held stays in force`;
        if (message !== unreadable) report({ object: directory, message });
        unreadable = message;
        return undefined;
      }
      if (unreadable !== undefined) report({ object: directory, message: 'reads well again' });
      unreadable = undefined;
      const next = new Map<string, ManifestFile>();
      let changed = false;
      for (const [path, signature] of tree.files) {
        const before = files.get(path);
        const file = before?.signature === signature ? before : await load(path, signature, before);
        if (file !== undefined) next.set(path, file);
        if (file?.objects !== before?.objects) changed = true;
      }
      for (const path of files.keys()) if (!next.has(path)) changed = true;
      files = next;
      return { directories: tree.directories, changed };
    },
    *objects() {
      for (const [path, file] of files)
        for (const object of file.objects) yield [relative(directory, path), object] as const;
    },
  };
}
