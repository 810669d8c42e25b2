/** A directory of manifests that agents watch, written as an editor would: whole files, by rename. */
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { KubernetesObject } from '../../../src/model/kubernetes.ts';
import type { Lab } from '../lab/lab.ts';

export interface Manifests {
  readonly directory: string;
  /** Writes the objects to a file, in place of what it held. */
  write(file: string, objects: readonly KubernetesObject[]): void;
  /** Writes a file as it is. */
  writeText(file: string, text: string): void;
  remove(file: string): void;
}

/** Makes an empty directory within that of the lab: it goes with the lab. */
export function createManifests(lab: Lab, name = 'manifests'): Manifests {
  const directory = join(lab.directory, name);
  mkdirSync(directory, { recursive: true });
  const writeText = (file: string, text: string) => {
    const draft = join(lab.directory, `${name}.draft`);
    writeFileSync(draft, text);
    renameSync(draft, join(directory, file));
  };
  return {
    directory,
    writeText,
    write: (file, objects) => writeText(file, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects })),
    remove: (file) => rmSync(join(directory, file)),
  };
}
