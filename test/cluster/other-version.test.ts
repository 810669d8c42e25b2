/** A version of another schema on a node: one agent at a time, and what the other one left goes once this one serves. */
import { existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { SCHEMA_VERSION } from '../../maps-schema/gen/codecs.ts';
import { acquireLock } from '../../src/bpf/lock.ts';
import type { Status } from '../../src/cli/commands/status.ts';
import { addressesOf, SERVICE_PORTS, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import { sluiceCommand } from '../support/lab/agent.ts';

const WEB = 21;
let rig: Rig;
beforeAll(async () => {
  rig = await createRig({ nodes: 1 });
  rig.manifests.write('web.json', [service('web', WEB), ...slices('web', [rig.lab.pod(1, 1)])]);
});
afterAll(() => rig?.lab.destroy());

const node = () => rig.lab.node(1);
const ask = () =>
  rig.lab.client(1).actor.http(addressesOf(WEB).balancerIp.IPv4, SERVICE_PORTS.http, { timeoutMs: 10_000 });

async function attached(): Promise<string[]> {
  const { stdout } = await node().exec(sluiceCommand('status', '--bpf-root', node().bpfRoot, '-o', 'json'));
  const { attachments } = JSON.parse(stdout) as Status;
  return attachments.filter(({ state }) => state === 'attached').map(({ hook, target }) => `${hook} ${target}`);
}

it('is refused while the other runs, and takes over what it left', async () => {
  const first = await rig.startAgent(1);
  expect((await ask()).ok).toBe(true);
  const before = await attached();
  await first.stop();
  // Pins of this schema stand for those of another one: their programs go on serving from their own maps.
  const own = join(node().bpfRoot, `v${SCHEMA_VERSION}`);
  const other = join(node().bpfRoot, `v${SCHEMA_VERSION + 1}`);
  renameSync(own, other);

  const lock = acquireLock(other);
  await expect(rig.startAgent(1)).rejects.toThrow(/an agent of another version holds .*stop that agent first/);
  lock.release();
  expect((await ask()).ok).toBe(true);

  const second = await rig.startAgent(1);
  expect(existsSync(other)).toBe(false);
  expect(second.logs.map(({ msg }) => msg).join('\n')).toContain('another version was in force: detached');
  expect(await attached()).toEqual(before);
  expect((await ask()).ok).toBe(true);
  // Nothing of it serves on: a Service that goes is refused.
  rig.manifests.write('web.json', [service('web', WEB), ...slices('web', [])]);
  await expect.poll(async () => (await ask()).ok, { timeout: 20_000 }).toBe(false);
}, 120_000);
