/** When programs are loaded: once at a start, and again when the Node changes; a load that fails later ends nothing. */
import { copyFileSync, cpSync, mkdirSync, renameSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { addressesOf, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import type { Agent } from '../support/lab/agent.ts';
import { nodeObject } from '../support/lab/nodes.ts';
import { poll } from '../support/lab/poll.ts';

const binary = process.env.SLUICE_BIN ?? fileURLToPath(new URL('../../bin/sluice', import.meta.url));

let rig: Rig;
let agent: Agent;
/** An installation of the test's own. */
let home: string;

beforeAll(async () => {
  rig = await createRig({ nodes: 1, podsPerNode: 2 });
  const root = dirname(dirname(binary));
  home = join(rig.lab.directory, 'home');
  mkdirSync(join(home, 'bin'), { recursive: true });
  copyFileSync(binary, join(home, 'bin/sluice'));
  cpSync(join(root, 'dist'), join(home, 'dist'), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(home, 'node_modules'));
  rig.manifests.write('node.json', [nodeObject(rig.lab.node(1))]);
  rig.manifests.write('web.json', [service('web', 11), ...slices('web', [rig.lab.pod(1, 1)])]);
  const { manifests, config } = rig;
  const node = rig.lab.node(1);
  agent = await rig.startAgent(1, {
    timeoutMs: 60_000,
    command: [
      ...[join(home, 'bin/sluice'), 'agent', '--node-name', node.name, '--manifests', manifests.directory],
      ...['--config', config, '--cgroup-root', node.cgroupRoot, '--bpf-root', node.bpfRoot],
    ],
  });
});
afterAll(() => rig?.lab.destroy());

const loads = () => agent.logs.filter(({ msg }) => msg === 'loaded programs').length;

/** Another address of the node: part of what programs are loaded with. */
function changeNode(address: string): void {
  const node = nodeObject(rig.lab.node(1)) as { status?: { addresses?: { type: string; address: string }[] } };
  const addresses = [{ type: 'InternalIP', address }];
  rig.manifests.write('node.json', [{ ...node, status: { ...node.status, addresses } } as never]);
}

it('loads once at a start, with what the Node says', () => {
  expect(loads()).toBe(1);
});

it('goes on when programs cannot be loaded later, and tries again', async () => {
  const objects = join(home, 'dist/bpf');
  const before = loads();
  renameSync(objects, `${objects}.away`);
  changeNode('172.30.9.9');
  await poll('see it told', () => agent.logs.some(({ msg }) => /no such file; run "make build"/.test(msg ?? '')));
  const dial = () => rig.lab.pod(1, 2).actor.http(addressesOf(11).clusterIp.IPv4, 80);
  expect([agent.exit, (await dial()).ok]).toEqual([undefined, true]);
  renameSync(`${objects}.away`, objects);
  await poll('see them loaded', () => loads() === before + 1, { timeoutMs: 40_000 });
  expect((await dial()).ok).toBe(true);
});
