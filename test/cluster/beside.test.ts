/**
 * Connections of others on a node that has Services: what the node, its pods and a container beside Kubernetes open
 * themselves, with the ports and addresses that Services use (R-101…R-104). Netfilter's masquerade works beside it.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Service } from '../../src/model/kubernetes.ts';
import { addressesOf, nodePortOf, POD_PORTS, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import type { Host } from '../support/lab/host.ts';
import { poll } from '../support/lab/poll.ts';
import type { Conversation } from '../support/traffic/actor.ts';

const HERE = 11;
const THERE = 12;
const LATER = 13;
const FAMILIES = ['IPv4', 'IPv6'] as const;
type Family = (typeof FAMILIES)[number];
const SERVER = { tcp: 7001, udp: 7002 } as const;

const addressOf = (host: Host, family: Family) => (family === 'IPv4' ? host.ipv4 : host.ipv6);

/** As CNI plugins and Docker write it: what leaves for beyond the pods has an address of the node. */
const MASQUERADE = `
table inet cni {
  chain post {
    type nat hook postrouting priority 100;
    ip saddr 10.244.1.0/24 ip daddr != 10.244.0.0/16 oifname "eth0" masquerade
    ip6 saddr fd44:0:0:1::/64 ip6 daddr != fd44::/48 oifname "eth0" masquerade
    ip saddr 172.17.0.0/16 oifname != "docker0" masquerade
  }
  chain forward {
    type filter hook forward priority 0;
    oifname "docker0" ct state related,established accept
    oifname "docker0" drop
  }
}`;

describe.each(['all', 'host-only'] as const)('--socket-lb %s', (socketLb) => {
  let rig: Rig;
  /** Waits until a NodePort answers where it does not without its Service. */
  const served = (n: number) =>
    poll(`the NodePort ${nodePortOf(n)} answers`, async () => {
      const { lab } = rig;
      return (await lab.client(2).actor.http(lab.node(1).ipv4, nodePortOf(n), { timeoutMs: 500 })).ok;
    });

  beforeAll(async () => {
    rig = await createRig({ externalClients: 3 });
    const { lab, manifests } = rig;
    await lab.client(1).actor.serve({ tcp: [SERVER.tcp, POD_PORTS.tcp], udp: [SERVER.udp] });
    await lab.node(1).run(['nft', '-f', '-'], { input: MASQUERADE });
    await lab.route('10.244.1.0/24', 'node1');
    manifests.write('services.json', [
      service('here', HERE),
      ...slices('here', [lab.pod(1, 1)]),
      service('there', THERE),
      ...slices('there', [lab.pod(2, 1)]),
    ]);
    await rig.startAgents({ socketLb, extraArgs: ['--bind-protection=off'] });
  });
  afterAll(() => rig?.lab.destroy());

  describe.each(FAMILIES)('%s', (family) => {
    const server = () => addressOf(rig.lab.client(1), family);

    it.each([
      ['a pod whom the node masquerades', () => rig.lab.pod(1, 2)],
      ['a process of the node', () => rig.lab.node(1)],
    ] as const)('%s dials a server outside from the port of a NodePort', async (_, from) => {
      const localPort = nodePortOf(THERE);
      const { actor } = from();
      expect(await actor.tcp(server(), SERVER.tcp, { localPort })).toMatchObject({ ok: true });
      for (const connected of [true, false])
        expect(await actor.udp(server(), SERVER.udp, { localPort, connected })).toMatchObject({ ok: true });
    });

    it.each([
      ['a pod', () => rig.lab.pod(1, 2)],
      ['a process of the node', () => rig.lab.node(1)],
    ] as const)('open connections of %s outlive a Service that takes their ports and addresses, and its end', async (_, from) => {
      const { lab, manifests } = rig;
      const { actor } = from();
      const options = { localPort: nodePortOf(LATER) };
      const conversations: Conversation[] = [
        await actor.open('tcp', server(), SERVER.tcp, options),
        await actor.open('udp', server(), SERVER.udp, options),
        await actor.open('tcp', server(), POD_PORTS.tcp),
      ];
      for (const conversation of conversations) expect(await conversation.exchange()).toMatchObject({ ok: true });
      manifests.write('later.json', [taking(server()), ...slices('later', [lab.pod(2, 1)])]);
      await served(LATER);
      for (const conversation of conversations)
        expect(await conversation.exchange({ bytes: 3000 })).toMatchObject({ ok: true, bytes: 3000 });
      manifests.remove('later.json');
      await poll('the Service is gone', async () => {
        const probe = await lab.client(2).actor.http(lab.node(1).ipv4, nodePortOf(LATER), { timeoutMs: 500 });
        return !probe.ok;
      });
      for (const conversation of conversations) expect(await conversation.exchange()).toMatchObject({ ok: true });
      for (const conversation of conversations) await conversation.close();
    });

    it('a client by a NodePort and a pod by itself reach one server from one port, whoever is first (R-103)', async () => {
      const { lab, manifests } = rig;
      manifests.write('outside.json', [service('outside', LATER), ...leadingTo('outside', lab.client(1))]);
      await poll('the Service leads to the server', async () => {
        const probe = await lab.client(2).actor.tcp(lab.node(1).ipv4, nodePortOf(LATER) + 100, { timeoutMs: 500 });
        return probe.who === 'client1';
      });
      const byService = (localPort: number) =>
        lab.client(3).actor.open('tcp', addressOf(lab.node(1), family), nodePortOf(LATER) + 100, { localPort });
      const byItself = (localPort: number) => lab.pod(1, 2).actor.open('tcp', server(), POD_PORTS.tcp, { localPort });
      for (const [i, order] of [
        [byService, byItself],
        [byItself, byService],
      ].entries()) {
        const both: Conversation[] = [];
        for (const open of order) both.push(await open((family === 'IPv4' ? 40_000 : 41_000) + i));
        for (const { opened } of both) expect(opened).toMatchObject({ ok: true, who: 'client1' });
        for (const one of both) expect(await one.exchange()).toMatchObject({ ok: true });
        for (const one of both) await one.close();
      }
      manifests.remove('outside.json');
    });
  });

  it.each([
    ['elsewhere', 2],
    ['on the node that translates', 1],
  ] as const)('a client by a NodePort and by itself reaches a process of a node, %s, from one port (R-103)', async (_, n) => {
    const { lab, manifests } = rig;
    const host = lab.node(n);
    await host.actor.serve({ tcp: [POD_PORTS.tcp] });
    const { actor } = lab.client(2);
    manifests.write('host.json', [service('host', LATER), ...leadingTo('host', host)]);
    await poll('the Service leads to the process', async () => {
      const probe = await actor.tcp(lab.node(1).ipv4, nodePortOf(LATER) + 100, { timeoutMs: 500 });
      return probe.who === host.name;
    });
    const byService = (localPort: number) =>
      actor.open('tcp', lab.node(1).ipv4, nodePortOf(LATER) + 100, { localPort });
    const byItself = (localPort: number) => actor.open('tcp', host.ipv4, POD_PORTS.tcp, { localPort });
    for (const [i, order] of [
      [byService, byItself],
      [byItself, byService],
    ].entries()) {
      const both: Conversation[] = [];
      for (const open of order) both.push(await open(42_000 + 10 * n + i));
      for (const { opened } of both) expect(opened).toMatchObject({ ok: true, who: host.name });
      for (const one of both) expect(await one.exchange()).toMatchObject({ ok: true });
      for (const one of both) await one.close();
    }
    manifests.remove('host.json');
    await host.actor.unserve({ ports: [POD_PORTS.tcp], connections: true });
  });

  it('a client reaches a pod by itself and by a NodePort from one port, whoever is first', async () => {
    const { lab } = rig;
    const { actor } = lab.client(2);
    const pod = lab.pod(1, 1);
    const byService = (localPort: number) => actor.open('tcp', lab.node(1).ipv4, nodePortOf(HERE) + 100, { localPort });
    const byItself = (localPort: number) => actor.open('tcp', pod.ipv4, POD_PORTS.tcp, { localPort });
    for (const [i, order] of [
      [byService, byItself],
      [byItself, byService],
    ].entries()) {
      const both: Conversation[] = [];
      for (const open of order) both.push(await open(43_000 + i));
      for (const { opened } of both) expect(opened).toMatchObject({ ok: true, who: pod.name });
      for (const one of both) expect(await one.exchange()).toMatchObject({ ok: true });
      for (const one of both) await one.close();
    }
  });

  it('a container on the bridge of Docker reaches Services of its node', async () => {
    const { lab } = rig;
    const node = lab.node(1);
    const box = lab.client(3);
    await node.run([
      'sh',
      '-ec',
      `ip link add docker0 type bridge; ip addr add 172.17.0.1/16 dev docker0; ip link set docker0 up
       ip link add vethdk type veth peer name dk0; ip link set vethdk master docker0 up; ip link set dk0 netns ${box.netns}`,
    ]);
    await box.run([
      'sh',
      '-ec',
      'ip route del default; ip addr add 172.17.0.2/16 dev dk0; ip link set dk0 up; ip route add default via 172.17.0.1',
    ]);
    // A device that comes later is found within moments.
    await poll('the container reaches a pod of another node', async () => {
      const probe = await box.actor.http(node.ipv4, nodePortOf(THERE), { timeoutMs: 1000 });
      return probe.ok;
    });
    for (const n of [HERE, THERE]) {
      const { clusterIp, balancerIp } = addressesOf(n);
      for (const [address, port] of [
        [node.ipv4, nodePortOf(n)],
        [lab.node(2).ipv4, nodePortOf(n)],
        [clusterIp.IPv4, 80],
        [balancerIp.IPv4, 80],
      ] as const)
        for (let i = 0; i < 3; i++) {
          const probe = await box.actor.http(address, port);
          expect([address, port, probe.ok]).toEqual([address, port, true]);
        }
    }
  });

  function taking(address: string): Service {
    return service('later', LATER, {
      externalIPs: [address],
      ports: [
        { name: 'http', port: 80, protocol: 'TCP', nodePort: nodePortOf(LATER) },
        { name: 'tcp', port: POD_PORTS.tcp, protocol: 'TCP', nodePort: nodePortOf(LATER) + 100 },
        { name: 'udp', port: 53, protocol: 'UDP', nodePort: nodePortOf(LATER) },
      ],
    });
  }

  /** A host that is no pod as the only endpoint, in both families. */
  function leadingTo(name: string, host: Host) {
    return slices(name, [rig.lab.pod(2, 1)]).map((slice) => ({
      ...slice,
      endpoints: [
        {
          addresses: [slice.addressType === 'IPv4' ? host.ipv4 : host.ipv6],
          conditions: { ready: true },
        },
      ],
    }));
  }
});
