/** The objects of a manifest directory, file by file: what each file last said where it could be read. */
import { readFile } from 'node:fs/promises';
import { relative } from 'node:path';
import type { KubernetesObject } from '../model/kubernetes.ts';
import type { SourceListener } from '../model/source.ts';
import { changesText, countKinds, countsText, nameOfObject } from './manifest-changes.ts';
import { findManifests } from './manifest-files.ts';
import { parseManifests } from './manifest-parse.ts';

interface ManifestFile {
  /** Differs when the file was written or replaced. */
  readonly signature: string;
  readonly objects: readonly KubernetesObject[];
  /** What is wrong with it, as it was told. */
  readonly problems: readonly string[];
  /** Kinds that are of no use here, with how many. */
  readonly others: ReadonlyMap<string, number>;
}

export interface ManifestStore {
  /**
   * Reads the files that changed. A document that cannot be read costs no other one, and what the file held before
   * stays in force until all of it can be read.
   * @returns the directories found and whether an object may have changed; undefined when the directory cannot be read
   */
  rescan(): Promise<{ directories: ReadonlyMap<string, string>; changed: boolean } | undefined>;
  /** Every object, in the order of the files' paths, with its file's path below the directory. */
  objects(): Iterable<readonly [file: string, object: KubernetesObject]>;
}

export function createManifestStore(
  directory: string,
  listener: Pick<SourceListener, 'problem' | 'note'>,
): ManifestStore {
  const report = (object: string, message: string) => listener.problem({ object, message });
  let files: Map<string, ManifestFile> | undefined;
  let unreadable: string | undefined;

  async function load(
    path: string,
    signature: string,
    before: ManifestFile | undefined,
  ): Promise<ManifestFile | undefined> {
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') return undefined;
      const end = before === undefined ? 'it is passed over' : 'what it held before stays in force';
      return tell(
        path,
        {
          signature,
          objects: before?.objects ?? [],
          problems: [`read ${path}: ${message}; ${end}`],
          others: new Map(),
        },
        before,
      );
    }
    const parsed = parseManifests(text);
    const kept = parsed.faults.length === 0 ? [] : missingFrom(parsed.objects, before?.objects ?? []);
    const end =
      kept.length === 0
        ? 'it is passed over'
        : `what the file held before stays in force: ${kept.map(nameOfObject).join(', ')}`;
    const problems = [
      ...parsed.faults.map((fault) => `read ${path}: ${fault}; ${end}`),
      ...parsed.notes.map((note) => `read ${path}: ${note}`),
    ];
    return tell(path, { signature, objects: [...parsed.objects, ...kept], problems, others: parsed.others }, before);
  }

  /** Problems that are new, and that there are none any more. */
  function tell(path: string, file: ManifestFile, before: ManifestFile | undefined): ManifestFile {
    for (const problem of file.problems) if (before?.problems.includes(problem) !== true) report(path, problem);
    if (file.problems.length === 0 && (before?.problems.length ?? 0) > 0) report(path, `${path} reads well again`);
    return file;
  }

  /** One line for each file that changed; for the first read, one for all. */
  function tellChanges(
    before: ReadonlyMap<string, ManifestFile> | undefined,
    after: ReadonlyMap<string, ManifestFile>,
  ): void {
    if (before === undefined) {
      const found = [...after.values()];
      const kinds = countsText(countKinds(found.flatMap(({ objects }) => objects)));
      const message = `read ${found.length} files: ${kinds || 'no object'}${othersText(found)}`;
      listener.note?.({ object: directory, message });
      return;
    }
    for (const path of new Set([...before.keys(), ...after.keys()])) {
      const [old, now] = [before.get(path), after.get(path)];
      if (old === now) continue;
      const what = now === undefined ? 'is gone' : old === undefined ? 'is new' : 'changed';
      const changes = changesText(old?.objects ?? [], now?.objects ?? []);
      const message = `${relative(directory, path)} ${what}: ${changes}${now === undefined ? '' : othersText([now])}`;
      listener.note?.({ object: path, message });
    }
  }

  return {
    async rescan() {
      let tree: Awaited<ReturnType<typeof findManifests>>;
      try {
        tree = await findManifests(directory);
      } catch (error) {
        const end = files === undefined ? 'it is tried again' : 'what it held stays in force';
        const message = `read ${directory}: ${(error as Error).message}; ${end}`;
        if (message !== unreadable) report(directory, message);
        unreadable = message;
        return undefined;
      }
      if (unreadable !== undefined) report(directory, `${directory} reads well again`);
      unreadable = undefined;
      const next = new Map<string, ManifestFile>();
      let changed = false;
      for (const [path, signature] of tree.files) {
        const before = files?.get(path);
        const file = before?.signature === signature ? before : await load(path, signature, before);
        if (file !== undefined) next.set(path, file);
        if (file?.objects !== before?.objects) changed = true;
      }
      for (const path of files?.keys() ?? []) if (!next.has(path)) changed = true;
      tellChanges(files, next);
      files = next;
      return { directories: tree.directories, changed };
    },
    *objects() {
      for (const [path, file] of files ?? [])
        for (const object of file.objects) yield [relative(directory, path), object] as const;
    },
  };
}

function missingFrom(now: readonly KubernetesObject[], before: readonly KubernetesObject[]): KubernetesObject[] {
  const names = new Set(now.map(nameOfObject));
  return before.filter((object) => !names.has(nameOfObject(object)));
}

function othersText(files: readonly ManifestFile[]): string {
  const others = new Map<string, number>();
  for (const file of files) for (const [kind, count] of file.others) others.set(kind, (others.get(kind) ?? 0) + count);
  return others.size === 0 ? '' : `; of no use here: ${countsText(others)}`;
}
