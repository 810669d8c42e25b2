/** docs/install.md names what there is to choose from; its commands are run by test/docs. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { haveKustomize, kustomize, overlays, REPOSITORY } from '../support/deploy/manifests.ts';

const page = readFileSync(join(REPOSITORY, 'docs/install.md'), 'utf8');

it('names each overlay, and only those', () => {
  const named = [...page.matchAll(/^\| `([\w-]+)` \|/gm)].map(([, name]) => name).sort();
  expect(named).toEqual(overlays);
  for (const name of overlays) {
    expect(existsSync(join(REPOSITORY, 'deploy/kustomize/overlays', name, 'kustomization.yaml')), name).toBe(true);
    if (haveKustomize) kustomize(join('overlays', name));
  }
});
