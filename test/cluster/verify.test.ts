/** `sluice verify` on a live node: equal when nothing is wrong; and with the agent dead each map that it writes, changed by hand. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { KernelHash } from '../../src/bpf/kernel-map.ts';
import { type Maps, openMaps } from '../../src/bpf/open-maps.ts';
import { pinDirectoryOf } from '../../src/bpf/paths.ts';
import type { Service } from '../../src/model/kubernetes.ts';
import type { Difference } from '../../src/verify/difference.ts';
import { linkPins } from '../support/cluster/kernel.ts';
import { service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import { type Agent, sluiceCommand } from '../support/lab/agent.ts';
import { run } from '../support/lab/command.ts';
import { nodeObject } from '../support/lab/nodes.ts';
import { poll } from '../support/lab/poll.ts';

let rig: Rig;
let agent: Agent;
let maps: Maps;

const CIDRS = {
  apiVersion: 'networking.k8s.io/v1',
  kind: 'ServiceCIDR',
  metadata: { name: 'kubernetes' },
  spec: { cidrs: ['10.96.0.0/16', 'fd96::/108'] },
};

beforeAll(async () => {
  rig = await createRig({ nodes: 2 });
  const pods = [rig.lab.pod(1, 1), rig.lab.pod(2, 1)];
  const [first, second] = rig.lab.nodes.map(nodeObject);
  rig.manifests.write('nodes.json', [...(first ? [first] : []), ...(second ? [second] : []), CIDRS]);
  rig.manifests.write('web.json', [service('web', 11), ...slices('web', pods)]);
  const sticky: Service['spec'] = { sessionAffinity: 'ClientIP', loadBalancerSourceRanges: ['192.0.2.0/24'] };
  rig.manifests.write('sticky.json', [service('sticky', 12, sticky), ...slices('sticky', pods)]);
  const local = service('far', 13, { externalTrafficPolicy: 'Local' });
  rig.manifests.write('far.json', [local, ...slices('far', pods)]);
  agent = await rig.startAgent(1, {
    timeoutMs: 60_000,
    extraArgs: ['--forwarding-mode', 'dsr', '--pod-devices', 'veth*'],
  });
  maps = openMaps(pinDirectoryOf(node().bpfRoot));
});
afterAll(async () => {
  maps?.close();
  await rig?.lab.destroy();
});

const node = () => rig.lab.node(1);

interface Outcome {
  readonly code: number | null;
  readonly items: readonly Difference[];
  readonly text: string;
}

async function verify(...words: string[]): Promise<Outcome> {
  const { code, stdout, stderr } = await node().exec(
    sluiceCommand('verify', '--bpf-root', node().bpfRoot, '-o', 'json', ...words),
  );
  const items = stdout === '' ? [] : (JSON.parse(stdout) as { items: Difference[] }).items;
  return { code, items, text: `${stdout}${stderr}` };
}

it('finds nothing on a node that is as it should be, and tells what it compared', async () => {
  const { code, items, text } = await verify();
  expect(items).toEqual([]);
  expect(text).toMatch(/equal: 3 Services, \d{2,} rows, \d{2,} links and programs/);
  expect(code).toBe(0);
});

it('finds nothing while Services come and go', async () => {
  const stop = new AbortController();
  const changing = (async () => {
    for (let i = 0; !stop.signal.aborted; i++) {
      const pods = i % 2 === 0 ? [rig.lab.pod(1, 2)] : [rig.lab.pod(1, 2), rig.lab.pod(2, 2)];
      rig.manifests.write('moving.json', [service('moving', 14), ...slices('moving', pods)]);
      await new Promise((done) => setTimeout(done, 300));
    }
  })();
  try {
    expect((await verify()).items).toEqual([]);
  } finally {
    stop.abort();
    await changing;
  }
}, 60_000);

it('works with the agent dead, and compares with another source when asked', async () => {
  await agent.kill();
  expect((await verify()).items).toEqual([]);
  rig.manifests.write('late.json', [service('late', 15), ...slices('late', [rig.lab.pod(1, 1)])]);
  const { code, items } = await verify('--manifests', rig.manifests.directory);
  expect(code).toBe(1);
  expect(new Set(items.map(({ object }) => object))).toEqual(new Set(['default/late', node().name]));
  const row = items.find(({ where, row }) => where === 'frontends' && row === '10.96.0.15:80/TCP');
  expect(row).toMatchObject({ kind: 'missing', is: '', advice: 'no agent runs: start it, it puts this right' });
  rig.manifests.remove('late.json');
  await poll('see it gone', async () => (await verify()).code === 0, { timeoutMs: 20_000 });
}, 60_000);

it('could not compare: 2', async () => {
  const { code, text } = await verify('--', '--manifests', '/nowhere');
  expect(text).toContain('/nowhere');
  expect(code).toBe(2);
  expect((await verify('--last-state')).code).toBe(2);
});

/** Deletes a row. @returns what puts it back */
function drop(map: KernelHash): () => void {
  const row = map.entries().next().value;
  if (row === undefined) throw new Error(`${map.shape.name} is empty`);
  map.delete(row.key);
  return () => map.update(row.key, row.value);
}

/** A row that nobody wants; of a network it is one of 8 bits. */
function add(map: KernelHash): () => void {
  const key = Buffer.alloc(map.shape.keySize, 7);
  if (map.shape.type === 'LPM_TRIE') key.writeUInt32LE(8);
  map.update(key, Buffer.alloc(map.shape.valueSize));
  return () => void map.delete(key);
}

function overwrite(view: Buffer, at: number, bytes: readonly number[]): () => void {
  const before = Buffer.from(view.subarray(at, at + bytes.length));
  Buffer.from(bytes).copy(view, at);
  return () => void before.copy(view, at);
}

/** What is changed by hand, by the map that is to be named. Those of a group do not hide each other. */
const groups: Record<string, () => () => void>[] = [
  {
    frontends: () => drop(maps.frontends),
    node_addresses: () => drop(maps.nodeAddresses),
    control: () => overwrite(maps.control.view, 6, [0]),
    // The port of every Service's HTTP.
    known_addresses: () => overwrite(maps.knownAddresses.view, (2 << 16) + 80, [0]),
  },
  {
    backend_slots: () => overwrite(maps.backendSlots.view, usedSlot() + 16, [1, 2]),
    devices: () => drop(maps.devices),
    peers: () => drop(maps.peers),
    reserved_ports: () => overwrite(maps.reservedPorts.view, 1000, [255]),
  },
  {
    backend_states: () => overwrite(maps.backendStates.view, 8 * 1 + 4, [0]),
    affinity_members: () => drop(maps.affinityMembers),
    source_ranges: () => drop(maps.sourceRanges),
    service_addresses: () => drop(maps.serviceAddresses),
  },
  {
    service_ports: () => drop(maps.servicePorts),
    dsr_backends: () => drop(maps.dsrBackends),
    service_cidrs: () => drop(maps.serviceCidrs),
    socket_opt_outs: () => add(maps.socketOptOuts),
    pod_cidrs: () => add(maps.podCidrs),
  },
];

function usedSlot(): number {
  const { view, stride } = maps.backendSlots;
  for (let at = stride; at < view.length; at += stride) if (view.readUInt32LE(at + 20) !== 0) return at;
  throw new Error('no slot is in use');
}

it.each(groups)('finds what was changed by hand, group %#', async (group) => {
  // Alive it would put most of it right meanwhile.
  await agent.kill();
  const undo = Object.values(group).map((change) => change());
  try {
    const { code, items } = await verify();
    expect(code).toBe(1);
    const found = new Set(items.map(({ where }) => where));
    for (const map of Object.keys(group)) expect(found, JSON.stringify(items, null, 1)).toContain(map);
  } finally {
    for (const back of undo.reverse()) back();
  }
  expect((await verify()).items).toEqual([]);
});

it('finds a link that was detached, a pin that is gone, and is content when the next agent has put all right', async () => {
  const ingress = Object.entries(linkPins(node())).find(([name]) => name.endsWith('_ingress'));
  const [name, pin] = ingress ?? ['', ''];
  await run('bpftool', ['link', 'detach', 'pinned', pin]);
  const connect = linkPins(node()).cgroup_connect4 ?? '';
  await run('rm', [connect]);
  const { items } = await verify();
  expect(items).toContainEqual(expect.objectContaining({ where: 'links', row: name, is: 'detached' }));
  expect(items).toContainEqual(expect.objectContaining({ where: 'links', row: 'cgroup_connect4', kind: 'missing' }));
  agent = await rig.startAgent(1, {
    timeoutMs: 60_000,
    extraArgs: ['--forwarding-mode', 'dsr', '--pod-devices', 'veth*'],
  });
  await poll('see it equal', async () => (await verify()).code === 0, { timeoutMs: 20_000 });
  expect(readdirSync(join(pinDirectoryOf(node().bpfRoot), 'links'))).toContain('cgroup_connect4');
}, 60_000);
