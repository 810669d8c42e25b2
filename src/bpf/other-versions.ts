/** What versions of another schema left under a bpf root: their pins lie beside this one's. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { SluiceError } from '../model/errors.ts';
import { detachAll } from './attach-tc.ts';
import { isLocked } from './lock.ts';
import { listPins, pinDirectoryOf } from './paths.ts';

/** @returns the pin directories of every version under a root, this one's included. */
export function versionDirectories(root: string): string[] {
  return listPins(root)
    .filter((name) => /^v\d+$/.test(name))
    .map((name) => join(root, name));
}

const otherVersions = (root: string) =>
  versionDirectories(root).filter((directory) => directory !== pinDirectoryOf(root));

/** One agent a root, of whatever version. @throws SluiceError STATE_LOCKED when one of another version runs. */
export function checkNoOtherVersionRuns(root: string): void {
  const held = otherVersions(root).find((directory) => isLocked(directory) === true);
  if (held !== undefined)
    throw new SluiceError(
      'STATE_LOCKED',
      `lock ${root}: an agent of another version holds ${held}; stop that agent first`,
    );
}

/**
 * Detaches and removes what other versions left. Connections that they translate end: nothing converts their flows.
 * @returns the directories that were removed
 */
export function removeOtherVersions(root: string): string[] {
  const directories = otherVersions(root);
  for (const directory of directories) {
    detachAll(directory);
    rmSync(directory, { recursive: true, force: true });
  }
  return directories;
}
