/** Undoes all that Sluice made under a bpf root: what is attached first, then the pins. */
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { detachAll } from '../bpf/attach-tc.ts';
import { versionDirectories } from '../bpf/other-versions.ts';
import { listPins, pinDirectoryOf, removePinDirectory } from '../bpf/paths.ts';
import { SluiceError } from '../model/errors.ts';

/** How many of each kind were there, and are gone. */
export interface Removed {
  readonly links: number;
  readonly filters: number;
  readonly programs: number;
  readonly maps: number;
  /** The pin directories, one for each schema version that ran here. */
  readonly directories: readonly string[];
}

/**
 * Removes what any version of the schema left. Nothing there is no error, so it may run again.
 * @throws SluiceError when something stays; the rest may be gone by then.
 */
export function removeEverything(root: string): Removed {
  const directories = versionDirectories(root);
  const count = (part: string) =>
    directories.reduce((sum, directory) => sum + listPins(join(directory, part)).length, 0);
  const filters = directories
    .map((directory) => join(directory, 'clsact'))
    .reduce(
      (sum, records) => sum + listPins(records).reduce((n, name) => n + listPins(join(records, name)).length, 0),
      0,
    );
  const removed = { links: count('links'), filters, programs: count('progs'), maps: count('maps'), directories };
  for (const directory of directories) {
    detachAll(directory);
    if (directory !== pinDirectoryOf(root)) rmSync(directory, { recursive: true, force: true });
  }
  removePinDirectory(root);
  const left = directories.filter((directory) => existsSync(directory));
  if (left.length > 0) throw new SluiceError('ATTACH_FAILED', `remove ${left.join(', ')}: still there; run it again`);
  return removed;
}
