import { join } from 'node:path';
import { expect, test } from 'vitest';
import { KUBE_PROXY_FLAGS } from '../../../src/config/flags.ts';
import { FATES } from '../../../src/config/notes.ts';
import { configurationPage } from './documentation.ts';

test('docs/configuration.md says what the code does', async () => {
  await expect(configurationPage()).toMatchFileSnapshot(join(import.meta.dirname, '../../../docs/configuration.md'));
});

test('R-85: each flag has a fate of its own, or that of its key', () => {
  for (const [name, { key, fate }] of Object.entries(KUBE_PROXY_FLAGS))
    expect(fate ?? FATES[key ?? ''], name).toBeDefined();
});
