/** Pods that opt out of the socket hook, by themselves or by their Namespace: their connections are flows of packets. */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { sluiceJson } from '../support/cluster/kernel.ts';
import { addressesOf, SERVICE_PORTS, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import type { Agent } from '../support/lab/agent.ts';
import { Host } from '../support/lab/host.ts';
import { listLeftovers } from '../support/lab/leftovers.ts';
import { poll } from '../support/lab/poll.ts';

const A = 11;
const OFF = { 'sluice.io/socket-lb': 'false' };
const UIDS = ['0f3a5b1c-22d4-4e6f-8a90-b1c2d3e4f506', '1f3a5b1c-22d4-4e6f-8a90-b1c2d3e4f506'] as const;

// `sluice status` is asked twice for each look.
vi.setConfig({ testTimeout: 300_000 });

let rig: Rig;
let agent: Agent;
const node = () => rig.lab.node(1);
const vip = () => addressesOf(A).clusterIp;
const containers: Host[] = [];

/** As the kubelet names cgroups: of pod1 with the systemd driver, of pod2 with cgroupfs. */
const podCgroup = (n: 1 | 2) =>
  n === 1
    ? `kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${UIDS[0].replaceAll('-', '_')}.slice`
    : `kubepods/besteffort/pod${UIDS[1]}`;

/** A container of a pod of the lab. */
function container(n: 1 | 2): Host {
  const { name, netns, addresses } = rig.lab.pod(1, n);
  const cgroup = join(node().cgroupRoot, podCgroup(n), 'container');
  const host = new Host({ name: `${name}-container`, netns, cgroup, addresses });
  containers.push(host);
  return host;
}

interface Said {
  readonly labels?: Record<string, string>;
  readonly annotations?: Record<string, string>;
}

function write(pods: readonly (Said | undefined)[], namespace: Said = {}): void {
  const objects = pods.flatMap((metadata, i) =>
    metadata === undefined
      ? []
      : [
          {
            apiVersion: 'v1',
            kind: 'Pod',
            metadata: { name: `pod${i + 1}`, namespace: 'default', uid: UIDS[i], ...metadata },
            spec: { nodeName: node().name },
          },
        ],
  );
  rig.manifests.write('pods.json', [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'default', ...namespace } },
    ...objects,
  ]);
}

interface Status {
  readonly counters: readonly { reason: string; packets: number }[];
  readonly maps: { map: string; entries?: number }[];
}

async function counted(): Promise<{ sockets: number; left: number }> {
  const { counters } = await sluiceJson<Status>(node(), 'status');
  const of = (...names: string[]) =>
    counters.reduce((sum, { reason, packets }) => sum + (names.includes(reason) ? packets : 0), 0);
  return { sockets: of('SOCKET_CONNECT', 'SOCKET_SEND'), left: of('SOCKET_LEFT_TO_PACKETS') };
}

/** Dials by TCP and UDP, in both families. @returns who served the four */
async function servedBy(host: Host): Promise<'sockets' | 'packets' | 'both'> {
  const before = await counted();
  for (const address of [vip().IPv4, vip().IPv6]) {
    expect((await host.actor.http(address, SERVICE_PORTS.http)).who).toBe(rig.lab.pod(2, 1).name);
    expect((await host.actor.udp(address, SERVICE_PORTS.udp)).who).toBe(rig.lab.pod(2, 1).name);
  }
  const after = await counted();
  const [sockets, left] = [after.sockets - before.sockets, after.left - before.left];
  if (sockets === 0 && left >= 4) return 'packets';
  return left === 0 && sockets >= 4 ? 'sockets' : 'both';
}

const becomes = (host: Host, by: 'sockets' | 'packets') =>
  poll(`see ${host.name} served by ${by}`, async () => (await servedBy(host)) === by, { timeoutMs: 60_000 });

beforeAll(async () => {
  rig = await createRig();
  rig.manifests.write('s.json', [service('a', A), ...slices('a', [rig.lab.pod(2, 1)])]);
  write([{}, {}]);
  agent = await rig.startAgent(1, { extraArgs: ['--watch-pods'] });
});

afterAll(async () => {
  for (const host of containers) await host.actor.close();
  await rig?.lab.destroy();
  if (rig !== undefined) expect(listLeftovers(rig.lab.id)).toEqual([]);
});

it('a pod whose cgroup is made after the label was seen, and no other', async () => {
  write([{ labels: OFF }, {}]);
  const [one, two] = [container(1), container(2)];
  await becomes(one, 'packets');
  const flows = JSON.stringify(await sluiceJson(node(), 'flow', 'list'));
  for (const address of [one.ipv4, one.ipv6]) expect(flows).toContain(address);
  expect(await servedBy(two)).toBe('sockets');
  expect(await servedBy(node())).toBe('sockets');
});

it('with a Namespace all its pods that do not say otherwise, by labels or annotations', async () => {
  const [one, two] = containers as [Host, Host];
  write([{ annotations: { 'sluice.io/socket-lb': 'true' } }, {}], { annotations: OFF });
  await becomes(two, 'packets');
  await becomes(one, 'sockets');
});

it('also while no agent runs and after it has started again; a pod that is gone leaves no row', async () => {
  const [one, two] = containers as [Host, Host];
  const rows = async () =>
    (await sluiceJson<Status>(node(), 'status')).maps.find(({ map }) => map === 'socket_opt_outs')?.entries;
  await agent.stop();
  expect(await servedBy(two)).toBe('packets');
  agent = await rig.startAgent(1, { extraArgs: ['--watch-pods'] });
  expect(await servedBy(two)).toBe('packets');
  expect(await servedBy(one)).toBe('sockets');
  expect(await rows()).toBe(1);
  write([{}, undefined], { labels: OFF });
  await becomes(two, 'sockets');
  await becomes(one, 'packets');
  expect(await rows()).toBe(1);
});

it('nobody without the flag', async () => {
  await agent.stop();
  agent = await rig.startAgent(1);
  await becomes(containers[0] as Host, 'sockets');
});
