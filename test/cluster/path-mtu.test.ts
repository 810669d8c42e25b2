/**
 * Path MTU discovery in each forwarding mode: a hop that takes less before the backend and behind it, for what
 * clients send and for what they are answered.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addressesOf, SERVICE_PORTS, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import type { Agent } from '../support/lab/agent.ts';
import type { Host } from '../support/lab/host.ts';
import type { LabNode, Pod } from '../support/lab/node.ts';
import { nodeObject } from '../support/lab/nodes.ts';

const FAMILIES = ['IPv4', 'IPv6'] as const;
const FAR = 11;
/** Above what IPv6 asks of every link, and the headers around a packet. */
const SMALL = 1400;

let rig: Rig;
beforeAll(async () => {
  rig = await createRig();
  const { lab } = rig;
  rig.manifests.write('nodes.json', lab.nodes.map(nodeObject));
  rig.manifests.write('services.json', [service('far', FAR), ...slices('far', [lab.pod(2, 1)])]);
});
afterAll(() => rig?.lab.destroy());

/** Bytes around a client's packet. */
const OVERHEAD = { snat: { IPv4: 0, IPv6: 0 }, ipip: { IPv4: 20, IPv6: 40 }, geneve: { IPv4: 48, IPv6: 80 } } as const;

/** What a host has learned of the path to an address; undefined: nothing. */
async function learned(host: Host, address: string): Promise<number | undefined> {
  const found = /\bmtu (\d+)/.exec(await host.run(['ip', 'route', 'get', address]));
  return found?.[1] === undefined ? undefined : Number(found[1]);
}

const mtu = (host: Host, device: string, bytes: number) =>
  host.run(['ip', 'link', 'set', device, 'mtu', String(bytes)]);

/** Nobody remembers what paths took. */
async function forget(hosts: readonly Host[]): Promise<void> {
  await Promise.all(
    hosts.flatMap((host) => ['-4', '-6'].map((family) => host.run(['ip', family, 'route', 'flush', 'cache']))),
  );
}

/** Where packets are cut to SMALL; each is undone again. */
const HOPS: Readonly<Record<string, (rig: Rig, bytes: number) => Promise<unknown>>> = {
  'no hop takes less': async () => {},
  // A node has the routes to the other's pods and to the other itself by eth0.
  'the first node on the way to the backend': ({ lab }, bytes) =>
    Promise.all(
      [lab.pod(2, 1), lab.node(2)].flatMap((to) =>
        FAMILIES.map((family) => lessOnTheWay(lab.node(1), to, family, bytes)),
      ),
    ),
  // Not its device: the pod would tell the client with its first packet what it takes.
  'behind the node of the backend': ({ lab }, bytes) =>
    Promise.all(FAMILIES.map((family) => lessOnTheWay(lab.node(2), lab.pod(2, 1), family, bytes))),
  'the client’s network': ({ lab }, bytes) => mtu(lab.net, 'client1', bytes),
};

/** A host route that takes less, or no such route. */
async function lessOnTheWay(node: LabNode, to: Pod | LabNode, family: 'IPv4' | 'IPv6', bytes: number): Promise<void> {
  const pick = (host: Host) => (family === 'IPv4' ? host.ipv4 : host.ipv6);
  const here = 'node' in to && to.node === node;
  const via = 'node' in to && !here ? ['via', pick(to.node)] : [];
  const route = [`${pick(to)}/${family === 'IPv4' ? 32 : 128}`, ...via, 'dev', here ? 'cni0' : 'eth0'];
  if (bytes === 1500) await node.run(['ip', 'route', 'del', ...route]);
  else await node.run(['ip', 'route', 'replace', ...route, 'mtu', 'lock', String(bytes)]);
}

describe.each([
  ['snat', 'geneve'],
  ['dsr', 'geneve'],
  ['dsr', 'ipip'],
] as const)('%s, %s', (mode, encapsulation) => {
  let agents: Agent[] = [];
  beforeAll(async () => {
    const extraArgs = ['--forwarding-mode', mode, '--dsr-encapsulation', encapsulation];
    agents = await rig.startAgents({ extraArgs });
  });
  afterAll(async () => {
    await Promise.all(agents.map((agent) => agent.stop()));
  });

  describe.each(Object.entries(HOPS))('%s', (hop, set) => {
    /** What the client must have learned. */
    const path = (family: 'IPv4' | 'IPv6'): number | undefined => {
      const overhead = OVERHEAD[mode === 'snat' ? 'snat' : encapsulation][family];
      if (hop.startsWith('the first node')) return SMALL - overhead;
      if (hop.startsWith('behind')) return SMALL;
      return overhead === 0 ? undefined : 1500 - overhead;
    };

    beforeAll(() => set(rig, SMALL));
    afterAll(() => set(rig, 1500));

    it.each(FAMILIES)('a megabyte goes both ways, %s (R-100)', async (family) => {
      const { lab } = rig;
      await forget([lab.client(), lab.pod(2, 1), ...lab.nodes]);
      const tcp = await lab.client().actor.open('tcp', addressesOf(FAR).externalIp[family], SERVICE_PORTS.tcp);
      const { ok, bytes } = await tcp.exchange({ bytes: 1 << 20, timeoutMs: 30_000 });
      expect({ ok, bytes }).toEqual({ ok: true, bytes: 1 << 20 });
      await tcp.close();
      expect(await learned(lab.client(), addressesOf(FAR).externalIp[family])).toBe(path(family));
      if (!hop.startsWith('the client')) return;
      const client = family === 'IPv4' ? lab.client().ipv4 : lab.client().ipv6;
      const asked = mode === 'snat' ? (family === 'IPv4' ? lab.node(1).ipv4 : lab.node(1).ipv6) : client;
      expect(await learned(lab.pod(2, 1), asked)).toBe(SMALL);
    });
  });
});
