import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { readHost } from '../../../src/host/read.ts';

test('an ip that hangs is ended and told', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-ip-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  writeFileSync(join(directory, 'ip'), '#!/bin/sh\nexec sleep 60\n');
  chmodSync(join(directory, 'ip'), 0o755);
  vi.stubEnv('PATH', `${directory}:${process.env.PATH}`);
  onTestFinished(() => void vi.unstubAllEnvs());
  await expect(readHost(undefined, 300)).rejects.toThrow(/read network devices: ip .* was not done after 300 ms/);
});
