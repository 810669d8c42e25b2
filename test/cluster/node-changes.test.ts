/**
 * A node that changes under a running agent, by traffic from outside: a device that appears and goes, one that
 * gets another name, and a Node whose podCIDRs change. Only node1 runs an agent. Addresses
 * and labels that change are in devices.test.ts and hints.test.ts.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KubernetesObject } from '../../src/model/kubernetes.ts';
import { dial } from '../support/cluster/dial.ts';
import { attachments } from '../support/cluster/kernel.ts';
import { addressesOf, nodePortOf, SERVICE_PORTS, service, slices } from '../support/cluster/objects.ts';
import { Stage } from '../support/cluster/stage.ts';
import type { IpFamily } from '../support/lab/addressing.ts';
import { poll } from '../support/lab/poll.ts';
import { renameDevice } from '../support/lab/rename.ts';

const FAMILIES: readonly IpFamily[] = ['IPv4', 'IPv6'];
/** Endpoints here and there: connections through the stack, and out again from the hook. */
const HERE = 11;
const THERE = 12;
const SERVICES = [HERE, THERE];
/** A network between node1 and the client, past the router. */
const NEAR = { node: { IPv4: '172.28.0.1', IPv6: 'fd28::1' }, client: { IPv4: '172.28.0.2', IPv6: 'fd28::2' } };

let stage: Stage;

beforeAll(async () => {
  stage = await Stage.create({ podsPerNode: 2 });
  await stage.apply(objects(stage.nodeObjects));
});
afterAll(() => stage?.destroy());

function objects(nodes: readonly KubernetesObject[]): KubernetesObject[] {
  return [
    ...nodes,
    service('here', HERE),
    ...slices('here', [stage.pod(1, 1)]),
    service('there', THERE),
    ...slices('there', [stage.pod(2, 1)]),
  ];
}

const nodeAddress = (family: IpFamily) => (family === 'IPv4' ? stage.node(1).ipv4 : stage.node(1).ipv6);

/** Who answers the client at the NodePorts of an address, of each Service. */
async function heard(address: string, timeoutMs = 1000): Promise<string[]> {
  const asked = SERVICES.flatMap((n) => (['http', 'udp'] as const).map((protocol) => ({ n, protocol })));
  return Promise.all(
    asked.map(async ({ n, protocol }) => {
      const { who, errno } = await dial(stage.client(), protocol, address, nodePortOf(n), timeoutMs);
      return who ?? errno ?? '';
    }),
  );
}

const EVERYBODY = ['node1-pod1', 'node1-pod1', 'node2-pod1', 'node2-pod1'];

const allAnswer = (address: string) =>
  poll(`see all answer at ${address}`, async () => (await heard(address)).join() === EVERYBODY.join(), {
    timeoutMs: 30_000,
  });
/** Nobody: a socket of the node would refuse. */
const noneAnswers = (address: string) =>
  poll(
    `see none answer at ${address}`,
    async () => !(await heard(address, 300)).some((who) => who.startsWith('node')),
    {
      timeoutMs: 30_000,
    },
  );

/** Devices with both programs on them. */
async function devicesInUse(): Promise<string[]> {
  const rows = (await attachments(stage.node(1))).filter((row) => row.includes('tcx '));
  expect(rows.filter((row) => !row.endsWith(': attached'))).toEqual([]);
  return [...new Set(rows.map((row) => row.split(' ')[3]?.replace(':', '') ?? ''))].sort();
}

describe('a device', () => {
  async function addNearNetwork(): Promise<void> {
    const [node, client] = [stage.node(1), stage.client()];
    await node.run(['ip', 'link', 'add', 'eth1', 'type', 'veth', 'peer', 'name', 'near', 'netns', client.netns]);
    for (const [host, device, addresses] of [
      [node, 'eth1', NEAR.node],
      [client, 'near', NEAR.client],
    ] as const) {
      await host.run(['ip', 'address', 'add', `${addresses.IPv4}/24`, 'dev', device]);
      await host.run(['ip', 'address', 'add', `${addresses.IPv6}/64`, 'dev', device, 'nodad']);
      await host.run(['ip', 'link', 'set', device, 'up']);
    }
  }

  it('that appears serves traffic from outside, and goes without a trace, twice (R-54)', async () => {
    await stage.run({ nodes: [1], devices: 'eth0,eth1' });
    for (let turn = 0; turn < 2; turn++) {
      await addNearNetwork();
      for (const family of FAMILIES) await allAnswer(NEAR.node[family]);
      expect(await devicesInUse()).toEqual(expect.arrayContaining(['eth0', 'eth1']));
      await stage.node(1).run(['ip', 'link', 'del', 'eth1']);
      await poll('see it go', async () => !(await attachments(stage.node(1))).some((row) => /eth1|detached/.test(row)));
      for (const family of FAMILIES) await allAnswer(nodeAddress(family));
    }
  });

  it.each([
    ['chosen by its addresses', undefined],
    ['one of --devices by both names', 'eth0,uplink'],
  ])('that is renamed serves on, %s (R-54)', async (_, devices) => {
    await stage.run({ nodes: [1], ...(devices !== undefined && { devices }) });
    const talks = await Promise.all(
      FAMILIES.map((family) => stage.client().actor.open('tcp', nodeAddress(family), nodePortOf(THERE) + 100)),
    );
    for (const [from, to] of [
      ['eth0', 'uplink'],
      ['uplink', 'eth0'],
    ] as const) {
      await renameDevice(stage.node(1), from, to);
      for (const family of FAMILIES) await allAnswer(nodeAddress(family));
      const inUse = await devicesInUse();
      expect(inUse).toContain(to);
      expect(inUse).not.toContain(from);
      // Connections there were before go on.
      for (const talk of talks)
        expect(await talk.exchange({ bytes: 10_000, timeoutMs: 10_000 })).toMatchObject({ ok: true });
    }
    for (const talk of talks) await talk.close();
  });

  it('is served when it takes the name that --devices gives, and no more when it gives it up (R-54)', async () => {
    // The pods' devices by name: eth0 of the lab is a veth too.
    await stage.run({ nodes: [1], devices: 'uplink', podDevices: 'veth*' });
    for (const family of FAMILIES) await noneAnswers(nodeAddress(family));
    await renameDevice(stage.node(1), 'eth0', 'uplink');
    for (const family of FAMILIES) await allAnswer(nodeAddress(family));
    expect(await devicesInUse()).toContain('uplink');
    await renameDevice(stage.node(1), 'uplink', 'eth0');
    for (const family of FAMILIES) await noneAnswers(nodeAddress(family));
    expect(await devicesInUse()).not.toContain('eth0');
  });
});

describe('podCIDRs of the Node, in mode NodeCIDR', () => {
  /** The Node objects with other networks for the pods of node1. */
  function nodesWith(podCIDRs: readonly string[]): KubernetesObject[] {
    return stage.nodeObjects.map((node, i) => (i === 0 ? { ...node, spec: { podCIDR: podCIDRs[0], podCIDRs } } : node));
  }

  /** The source that the backend sees of a pod of its node, which dials the cluster IP of its Service. */
  const seen = async () =>
    Promise.all(
      FAMILIES.map(async (family) => {
        const address = addressesOf(HERE).clusterIp[family];
        return (await dial(stage.pod(1, 2), 'http', address, SERVICE_PORTS.http, 10_000)).seenSource;
      }),
    );

  it('decide from when they change whose source is translated (R-92)', async () => {
    const pod = stage.pod(1, 2);
    const own = [pod.ipv4, pod.ipv6];
    const translated = ['10.244.1.1', 'fd44:0:0:1::1'];
    const others = ['10.250.1.0/24', 'fd50:0:0:1::/64'];
    const { IPv4, IPv6 } = stage.node(1).podCidrs;
    await stage.run({
      nodes: [1],
      socketLb: 'host-only',
      settings: { detectLocalMode: 'NodeCIDR', clusterCIDR: '' },
    });
    for (const [podCIDRs, want] of [
      [others, translated],
      [[IPv4, IPv6], own],
      // Of one family alone: the device says who is a pod in the other.
      [others.slice(0, 1), [translated[0], own[1]]],
      [[], own],
      [others, translated],
      [
        [IPv6, '10.250.1.0/24'],
        [translated[0], own[1]],
      ],
    ] as const) {
      await stage.apply(objects(nodesWith(podCIDRs)));
      expect(await seen(), podCIDRs.join()).toEqual(want);
    }
  });
});
