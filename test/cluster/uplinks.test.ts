/** The ways into a node: a second card, other ways out than in, a bridge that containers are on as well. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeConfiguration } from '../support/cluster/configuration.ts';
import { addressesOf, nodePortOf, SERVICE_PORTS, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import { sluiceCommand } from '../support/lab/agent.ts';
import type { Host } from '../support/lab/host.ts';
import { listLeftovers } from '../support/lab/leftovers.ts';
import { poll } from '../support/lab/poll.ts';

const NEAR = 11;
const FAR = 12;
const SERVICES = [
  ['near', NEAR],
  ['far', FAR],
] as const;
/** Of the second network. */
const CLIENT = '172.40.0.1';
const NODE = '172.40.0.11';

async function createPair(): Promise<Rig> {
  const rig = await createRig();
  const { lab, manifests } = rig;
  manifests.write('s.json', [
    service('near', NEAR),
    ...slices('near', [lab.pod(1, 1)]),
    service('far', FAR),
    ...slices('far', [lab.pod(2, 1)]),
  ]);
  return rig;
}

async function end(rig: Rig | undefined): Promise<void> {
  await rig?.lab.destroy();
  if (rig !== undefined) expect(listLeftovers(rig.lab.id)).toEqual([]);
}

async function status(rig: Rig): Promise<string> {
  const node = rig.lab.node(1);
  return node.run(sluiceCommand('status', '--bpf-root', node.bpfRoot));
}

/** A wire between the client and node1, without an address at the node yet. */
async function addCard(rig: Rig): Promise<void> {
  const [node, client] = [rig.lab.node(1), rig.lab.client()];
  await client.run(['ip', 'link', 'add', 'c1', 'type', 'veth', 'peer', 'name', 'eth1', 'netns', node.netns]);
  await client.run(['ip', 'addr', 'add', `${CLIENT}/24`, 'dev', 'c1']);
  await client.run(['ip', 'link', 'set', 'c1', 'up']);
  await node.run(['ip', 'link', 'set', 'eth1', 'up']);
  await client.run(['ip', 'route', 'replace', '203.0.113.0/24', 'via', NODE]);
}

/** As on a host of virtual machines: br0 has the node's addresses and routes, eth0 is its port. */
async function bridgeUplink(rig: Rig): Promise<void> {
  for (const node of rig.lab.nodes) {
    const routes = async (family: string) =>
      (await node.run(['ip', family, 'route', 'show']))
        .split('\n')
        .filter((line) => line.includes(' dev eth0') && !/proto kernel|fe80/.test(line))
        .map((line) => line.replace('dev eth0', 'dev br0').replace(/ *onlink| linkdown| pref medium/g, ''));
    const [four, six] = [await routes('-4'), await routes('-6')];
    const script = [
      'ip link add br0 type bridge',
      'ip link set br0 up',
      'ip addr flush dev eth0 scope global',
      'ip link set eth0 master br0',
      `ip addr add ${node.ipv4}/24 dev br0`,
      `ip addr add ${node.ipv6}/64 dev br0 nodad`,
      ...four.map((route) => `ip -4 route replace ${route}`),
      ...six.map((route) => `ip -6 route replace ${route}`),
    ];
    await node.run(['sh', '-ec', script.join('\n')]);
  }
}

describe('a second card', () => {
  let rig: Rig;

  beforeAll(async () => {
    rig = await createPair();
    await addCard(rig);
    const config = writeConfiguration(rig.lab, { nodePortAddresses: ['172.40.0.0/24'] }, 'second');
    // Else the lab's card, a veth, would count as the device of a pod.
    await rig.startAgents({ config, podDevices: 'veth0*' });
  });

  afterAll(() => end(rig));

  it('is attached to when it gets an address, and NodePorts answer there (R-53, R-54)', async () => {
    const [node, client] = [rig.lab.node(1), rig.lab.client()];
    expect(await status(rig)).not.toMatch(/tcx ingress +eth1/);
    await node.run(['ip', 'addr', 'add', `${NODE}/24`, 'dev', 'eth1']);
    for (const [, n] of SERVICES) {
      await poll('see it answer', async () => (await client.actor.http(NODE, nodePortOf(n), { timeoutMs: 500 })).ok);
      const { balancerIp } = addressesOf(n);
      expect(await client.actor.http(balancerIp.IPv4, SERVICE_PORTS.http)).toMatchObject({ ok: true });
      expect(await client.actor.udp(balancerIp.IPv4, SERVICE_PORTS.udp)).toMatchObject({ ok: true });
    }
    expect((await client.actor.http(node.ipv4, nodePortOf(NEAR), { timeoutMs: 500 })).ok).toBe(false);
  });

  it('status names what is left out, and why', async () => {
    expect(await status(rig)).toMatch(/^left out: +cni0: containers behind it are met on their own devices$/m);
  });

  it('answers leave by another card than the one by which the client came in', async () => {
    const [node, client] = [rig.lab.node(1), rig.lab.client()];
    await client.run(['ip', 'route', 'del', '203.0.113.0/24']);
    await node.run(['ip', 'route', 'add', `${client.ipv4}/32`, 'via', CLIENT, 'dev', 'eth1']);
    for (const key of ['all', 'eth0', 'eth1']) await node.run(['sysctl', '-qw', `net.ipv4.conf.${key}.rp_filter=0`]);
    for (const key of ['all', 'c1', 'eth0']) await client.run(['sysctl', '-qw', `net.ipv4.conf.${key}.rp_filter=0`]);
    for (const [name, n] of SERVICES) {
      const { balancerIp } = addressesOf(n);
      const http = await poll(`see ${name} answer`, async () => {
        const probe = await client.actor.http(balancerIp.IPv4, SERVICE_PORTS.http, { timeoutMs: 500 });
        return probe.ok && probe;
      });
      expect(http.peerAddress).toBe(balancerIp.IPv4);
      expect(await client.actor.udp(balancerIp.IPv4, SERVICE_PORTS.udp)).toMatchObject({ ok: true });
    }
  });
});

describe('the uplink is a bridge', () => {
  let rig: Rig;
  const BOX = '172.30.0.50';

  beforeAll(async () => {
    rig = await createPair();
    await bridgeUplink(rig);
    const node = rig.lab.node(1);
    // The client gets a second device, as a container on the node's bridge has one.
    const box = rig.lab.client();
    await box.run(['ip', 'link', 'add', 'lx0', 'type', 'veth', 'peer', 'name', 'vethlx', 'netns', node.netns]);
    await node.run(['ip', 'link', 'set', 'vethlx', 'master', 'br0', 'up']);
    await box.run(['ip', 'addr', 'add', `${BOX}/24`, 'dev', 'lx0']);
    await box.run(['ip', 'link', 'set', 'lx0', 'up']);
    for (const net of ['10.96.0.0/16', '203.0.113.0/24'])
      await box.run(['ip', 'route', 'replace', net, 'via', node.ipv4, 'dev', 'lx0']);
  });

  afterAll(() => end(rig));

  async function reachesAll(box: Host): Promise<void> {
    const node = rig.lab.node(1);
    for (const [name, n] of SERVICES) {
      const { clusterIp, balancerIp } = addressesOf(n);
      for (const [address, http, udp] of [
        [node.ipv4, nodePortOf(n), nodePortOf(n)],
        [clusterIp.IPv4, SERVICE_PORTS.http, SERVICE_PORTS.udp],
        [balancerIp.IPv4, SERVICE_PORTS.http, SERVICE_PORTS.udp],
      ] as const) {
        const from = { localAddress: BOX };
        expect(await box.actor.http(address, http, from), `${name}, TCP to ${address}`).toMatchObject({ ok: true });
        expect(await box.actor.udp(address, udp, from), `${name}, UDP to ${address}`).toMatchObject({ ok: true });
      }
    }
  }

  it.each([
    ['found by kind', {}],
    ['named, the port of the bridge among them', { podDevices: 'veth*' }],
    ['the bridge and its ports named', { devices: 'br0,eth0,vethlx' }],
  ] as const)('a container on it reaches every Service, devices %s', async (_, options) => {
    const agent = await rig.startAgent(1, options);
    await reachesAll(rig.lab.client());
    const text = await status(rig);
    expect(text).toMatch(/tcx ingress +br0/);
    expect(text).not.toMatch(/(tcx|clsact) ingress +(eth0|vethlx)/);
    await agent.stop();
  });

  it('the node and clients outside go on being served', async () => {
    const agent = await rig.startAgent(1, { socketLb: 'host-only' });
    const node = rig.lab.node(1);
    for (const [, n] of SERVICES) {
      expect(await rig.lab.client().actor.http(node.ipv6, nodePortOf(n))).toMatchObject({ ok: true });
      expect(await node.actor.http(addressesOf(n).clusterIp.IPv4, SERVICE_PORTS.http)).toMatchObject({ ok: true });
      const pod = rig.lab.pod(1, 2);
      expect(await pod.actor.http(addressesOf(n).clusterIp.IPv6, SERVICE_PORTS.http)).toMatchObject({ ok: true });
    }
    await agent.stop();
  });
});
