/** Manifests of a directory, in the order to apply them: namespaces and nodes first. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import type { KubeObject } from './resources.ts';

const ORDER = ['Namespace', 'Node', 'Service', 'EndpointSlice'];

/** Reads *.yaml, *.yml and *.json below the directory. @throws for a file that does not parse */
export async function readManifests(directory: string): Promise<KubeObject[]> {
  const names = (await readdir(directory, { recursive: true }))
    .filter((name) => /\.(yaml|yml|json)$/.test(name))
    .sort();
  const objects: KubeObject[] = [];
  for (const name of names) {
    for (const document of parseAllDocuments(await readFile(join(directory, name), 'utf8'))) {
      if (document.errors[0]) throw new Error(`read ${join(directory, name)}: ${document.errors[0].message}`);
      const value = document.toJS() as (KubeObject & { items?: KubeObject[] }) | null;
      if (value?.kind?.endsWith('List')) objects.push(...(value.items ?? []));
      else if (value?.kind) objects.push(value);
    }
  }
  const rank = (object: KubeObject) =>
    ORDER.includes(object.kind ?? '') ? ORDER.indexOf(object.kind ?? '') : ORDER.length;
  return objects.sort((a, b) => rank(a) - rank(b));
}
