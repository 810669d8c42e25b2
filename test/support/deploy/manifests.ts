/** What the chart and the overlays come to. */
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';
import type { KubernetesObject } from '../../../src/model/kubernetes.ts';

export const REPOSITORY = fileURLToPath(new URL('../../..', import.meta.url));
export const CHART = join(REPOSITORY, 'deploy/helm/sluice');
const OVERLAYS = join(REPOSITORY, 'deploy/kustomize/overlays');

export const overlays: readonly string[] = readdirSync(OVERLAYS).sort();
export const valuesOf = (overlay: string): string => join(OVERLAYS, overlay, 'values.yaml');

/** By kind and name, so that order does not count. */
export type Objects = Readonly<Record<string, KubernetesObject>>;

function byName(text: string): Objects {
  const objects = parseAllDocuments(text).map((document) => document.toJS() as KubernetesObject);
  return Object.fromEntries(
    objects
      .filter(Boolean)
      .map((object) => [`${object.kind} ${object.metadata?.namespace ?? ''}/${object.metadata?.name}`, object]),
  );
}

/** The chart as helm renders it. @param values files, as for --values. @throws Error with what helm would say */
export function chart(...values: readonly string[]): Objects {
  return byName(
    execFileSync(join(REPOSITORY, 'tools/deploy/render.sh'), values, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    }),
  );
}

/** Whether kubectl reads directories as kustomizations name them: from 1.24 on (Debian 12 has 1.20). */
export const haveKustomize: boolean = (() => {
  const { kustomizeVersion = '' } = JSON.parse(
    execFileSync('kubectl', ['version', '--client', '-o', 'json'], { encoding: 'utf8' }),
  ) as { kustomizeVersion?: string };
  return Number(/^v(\d+)/.exec(kustomizeVersion)?.[1] ?? 0) >= 4;
})();

/** What `kubectl kustomize` prints. @param directory below deploy/kustomize */
export function kustomize(directory: string): Objects {
  return byName(
    execFileSync('kubectl', ['kustomize', join(REPOSITORY, 'deploy/kustomize', directory)], { encoding: 'utf8' }),
  );
}
