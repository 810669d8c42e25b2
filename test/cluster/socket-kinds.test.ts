/** What a socket that the hook pointed at a backend is told, and which sockets the hook leaves alone. */
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { addressesOf, nodePortOf, POD_PORTS, SERVICE_PORTS, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import type { Host } from '../support/lab/host.ts';
import { listLeftovers } from '../support/lab/leftovers.ts';
import { poll } from '../support/lab/poll.ts';

const SCRIPT = fileURLToPath(new URL('../support/traffic/sockets.py', import.meta.url));
const FAMILIES = ['IPv4', 'IPv6'] as const;
const A = 11;
const B = 12;

let rig: Rig;
const node = () => rig.lab.node(1);
const client = () => rig.lab.pod(1, 2);
const backend = () => rig.lab.pod(2, 1);
const vip = (n: number) => addressesOf(n).clusterIp;

async function told(host: Host, ...args: (string | number)[]): Promise<unknown> {
  return JSON.parse(await host.run(['python3', SCRIPT, ...args.map(String)]));
}

function write(ready = true): void {
  const target = { pod: backend(), conditions: { ready, serving: ready, terminating: false } };
  rig.manifests.write('s.json', [service('a', A), ...slices('a', [target]), service('b', B), ...slices('b', [target])]);
}

async function served(): Promise<void> {
  for (const n of [A, B])
    for (const host of [client(), node()])
      await poll(
        'see the Service served',
        async () => (await host.actor.udp(vip(n).IPv4, SERVICE_PORTS.udp)).who === backend().name,
      );
}

beforeAll(async () => {
  rig = await createRig();
  await rig.startAgent(1);
});

beforeEach(async () => {
  write();
  await served();
});

afterAll(async () => {
  await rig?.lab.destroy();
  if (rig !== undefined) expect(listLeftovers(rig.lab.id)).toEqual([]);
});

describe.each(['pod', 'node'] as const)('a socket of a %s', (where) => {
  const host = (): Host => (where === 'pod' ? client() : node());

  it.each(FAMILIES)('that asks two Services with one backend at once hears from both (R-109), %s', async (family) => {
    const asked = [vip(A)[family], vip(B)[family]];
    expect(await told(host(), 'ask', '', SERVICE_PORTS.udp, ...asked)).toEqual(asked);
    const names = [...asked, addressesOf(A).balancerIp[family], vip(A)[family]];
    expect(await told(host(), 'ask', '', SERVICE_PORTS.udp, ...names)).toEqual(names);
  });

  it('that sends to the pod itself too hears from the pod (R-109)', async () => {
    const { ipv4 } = backend();
    expect(await told(host(), 'turns', vip(A).IPv4, SERVICE_PORTS.udp, ipv4, POD_PORTS.udp)).toEqual([
      vip(A).IPv4,
      ipv4,
      vip(A).IPv4,
      ipv4,
    ]);
  });

  it.each(['mptcp', 'fastopen'])('of %s is connected to the Service (R-109)', async (kind) => {
    for (const address of [vip(A).IPv4, vip(A).IPv6, `::ffff:${vip(A).IPv4}`])
      expect(await told(host(), kind, address, SERVICE_PORTS.tcp)).toEqual([address, SERVICE_PORTS.tcp]);
  });

  it('that is connected by UDP goes on once its backend is ready again (R-110)', async () => {
    const talk = await host().actor.open('udp', vip(A).IPv4, SERVICE_PORTS.udp, { connected: true });
    expect((await talk.exchange()).who).toBe(backend().name);
    write(false);
    await poll('see it refused', async () => (await talk.exchange({ timeoutMs: 1000 })).errno === 'EPERM');
    write(true);
    await poll('see it go on', async () => (await talk.exchange({ timeoutMs: 1000 })).who === backend().name);
    await talk.close();
  });
});

it('a pod that dials the unspecified address reaches itself, not a NodePort', async () => {
  const pod = client();
  const port = nodePortOf(A);
  await pod.actor.serve({ http: [port], udp: [port] });
  for (const address of ['0.0.0.0', '::']) {
    expect((await pod.actor.http(address, port)).who).toBe(pod.name);
    expect((await pod.actor.udp(address, port)).who ?? pod.name).toBe(pod.name);
  }
  await pod.actor.unserve({ ports: [port] });
  expect((await pod.actor.http('0.0.0.0', port)).errno).toBe('ECONNREFUSED');
});

it('the proxy of a service mesh sees the Service as the original destination', async () => {
  const pod = client();
  const redirect =
    'table ip mesh { chain out { type nat hook output priority -100; tcp dport != 15001 redirect to :15001; }; }';
  await pod.run(['nft', '-f', '-'], { input: redirect });
  expect(await told(pod, 'original', vip(A).IPv4, SERVICE_PORTS.http, 15001)).toEqual([
    vip(A).IPv4,
    SERVICE_PORTS.http,
  ]);
  await pod.run(['nft', 'delete', 'table', 'ip', 'mesh']);
});

it('[::] and mapped addresses take no NodePort of IPv4 (R-57)', async () => {
  const port = nodePortOf(20);
  const four = service('four', 20);
  rig.manifests.write('four.json', [
    {
      ...four,
      spec: { ...four.spec, clusterIPs: [vip(20).IPv4], ipFamilies: ['IPv4'], externalIPs: [] },
      status: {},
    } as typeof four,
    ...slices('four', [backend()]),
  ]);
  await poll('see the NodePort', async () => (await node().actor.http(node().ipv4, port)).ok);
  for (const kind of ['tcp', 'udp'])
    for (const address of ['::', '::ffff:127.0.0.1', '0.0.0.0'])
      expect(await told(node(), 'bind', address, port, kind)).toBe('OSError 98');
  expect(await told(node(), 'bind', '::1', port, 'tcp')).toBe('bound');
  rig.manifests.remove('four.json');
});

describe('a cluster IP that a device of the node has', () => {
  const device = async (...args: string[]) => node().run(['ip', ...args]);
  const answers = async (host: Host) => (await host.actor.udp(vip(B).IPv4, SERVICE_PORTS.udp)).who;

  beforeAll(async () => {
    await device('link', 'add', 'nodelocaldns', 'type', 'bridge');
    await device('link', 'set', 'nodelocaldns', 'up');
    await device('addr', 'add', `${vip(B).IPv4}/32`, 'dev', 'nodelocaldns');
  });
  afterAll(() => device('link', 'del', 'nodelocaldns'));

  it('is balanced while no socket has it, and answered by the socket that has (R-108)', async () => {
    // A socket on every address owns none.
    await node().actor.serve({ udp: [SERVICE_PORTS.udp], who: 'everywhere' });
    for (const host of [client(), node()]) expect(await answers(host)).toBe(backend().name);
    await node().actor.unserve();
    await node().actor.serve({ udp: [SERVICE_PORTS.udp], addresses: [vip(B).IPv4], who: 'cache' });
    for (const host of [client(), node()])
      await poll('see the cache answer', async () => (await answers(host)) === 'cache');
    // Of another port nobody is asked: the Service answers.
    for (const host of [client(), node()])
      expect((await host.actor.http(vip(B).IPv4, SERVICE_PORTS.http)).who).toBe(backend().name);
    await node().actor.unserve();
    for (const host of [client(), node()])
      await poll('see the Service answer', async () => (await answers(host)) === backend().name);
  });
});
