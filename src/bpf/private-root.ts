/** The directories below a bpf root are this user's alone: whoever may open one could hold its lock, or plant pins in it. */
import { chmodSync, lstatSync, type Stats } from 'node:fs';
import { dirname, join } from 'node:path';
import { SluiceError } from '../model/errors.ts';
import { listPins } from './paths.ts';

/**
 * Closes the root, and the directories of pins in it, to others. A root that is a mount point keeps its mode: it is not
 * for Sluice alone.
 * @throws SluiceError PERMISSION when another user made one of them, or it is no directory
 */
export function makePrivate(root: string): void {
  const mounted = lstatSync(root).dev !== lstatSync(dirname(root)).dev;
  const sets = listPins(root).filter((name) => /^v\d/.test(name));
  for (const directory of [root, ...sets.map((name) => join(root, name))]) {
    const stats = lstatSync(directory);
    checkOwner(directory, stats);
    if ((stats.mode & 0o077) !== 0 && stats.uid === process.geteuid?.() && !(mounted && directory === root))
      chmodSync(directory, 0o700);
  }
}

function checkOwner(directory: string, stats: Stats): void {
  if (stats.isDirectory() && (stats.uid === 0 || stats.uid === process.geteuid?.())) return;
  const what = stats.isDirectory() ? `user ${stats.uid} made it` : 'it is no directory';
  throw new SluiceError('PERMISSION', `pin in ${directory}: ${what}; remove it, or choose another --bpf-root`);
}
