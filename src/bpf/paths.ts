/** Where things are pinned: `<bpf-root>/v<schema version>/{maps,links,progs,clsact,qdiscs}/<name>`. */
import { mkdirSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { SCHEMA_VERSION } from '../../maps-schema/gen/codecs.ts';
import { SluiceError } from '../model/errors.ts';
import { checkBpffs } from './preconditions.ts';

/** The directory of this schema's pins under a bpf root: another schema's pins lie beside it, never in it. */
export function pinDirectoryOf(root: string): string {
  return join(root, `v${SCHEMA_VERSION}`);
}

/** @param map its name in the schema, e.g. `backend_slots`. */
export function mapPin(pinDirectory: string, map: string): string {
  return join(pinDirectory, 'maps', map);
}

/** @param name see `linkName`. */
export function linkPin(pinDirectory: string, name: string): string {
  return join(pinDirectory, 'links', name);
}

export function programPin(pinDirectory: string, program: string): string {
  return join(pinDirectory, 'progs', program);
}

/**
 * Joins parts to the name of a pin: bpffs refuses dots, and a device's name may hold them
 * (`eth0.100`), so every character but letters, digits and `-` becomes `_` and its code.
 */
export function linkName(...parts: string[]): string {
  return parts.map((part) => part.replace(/[^A-Za-z0-9-]/g, (c) => `_${c.charCodeAt(0).toString(16)}`)).join('_');
}

/**
 * Makes the pin directory of this schema version.
 * @returns its path.
 * @throws SluiceError BPFFS_MISSING when the root does not lie on bpffs.
 */
export function ensurePinDirectory(root: string): string {
  const directory = pinDirectoryOf(root);
  checkBpffs(root);
  try {
    for (const part of ['maps', 'links', 'progs', 'clsact', 'qdiscs'])
      mkdirSync(join(directory, part), { recursive: true });
  } catch (cause) {
    throw new SluiceError('BPFFS_MISSING', `make pin directory ${directory}: ${(cause as Error).message}`, { cause });
  }
  return directory;
}

/** Names in a directory, sorted; none when it is not there. */
export function listPins(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return [];
  }
}

/**
 * Unpins maps and programs and removes the pin directory; and the root, when nothing else is in it.
 * Detach first (`detachAll`): what is still attached keeps its maps.
 */
export function removePinDirectory(root: string): void {
  rmSync(pinDirectoryOf(root), { recursive: true, force: true });
  try {
    if (listPins(root).length === 0) rmdirSync(root);
  } catch {
    // The root is a mount point, or not there: nothing of ours is left in it.
  }
}
