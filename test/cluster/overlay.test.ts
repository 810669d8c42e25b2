/**
 * Pods of other nodes behind a VXLAN device, as flannel makes it: what takes 50 bytes less than the device that
 * clients come in by, whose next hops are addresses of other nodes' pod networks, and which has no XDP.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dial, PROTOCOLS, portOf } from '../support/cluster/dial.ts';
import { sluiceJson } from '../support/cluster/kernel.ts';
import { addressesOf, nodePortOf, SERVICE_PORTS, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig, serve } from '../support/cluster/rig.ts';
import { type IpFamily, OVERLAY_DEVICE, podNetworks } from '../support/lab/addressing.ts';
import type { Agent } from '../support/lab/agent.ts';
import { setOffload } from '../support/lab/ethtool.ts';
import type { Host } from '../support/lab/host.ts';
import type { Pod } from '../support/lab/node.ts';
import { nodeObject } from '../support/lab/nodes.ts';
import { overlayPeerLines } from '../support/lab/overlay.ts';
import { poll } from '../support/lab/poll.ts';

const FAMILIES: readonly IpFamily[] = ['IPv4', 'IPv6'];
const FAR = 11;
/** Its backend has the address of a node: no overlay leads there. */
const NEAR = 12;
const MEGABYTES = 4 << 20;
/** For what takes a SYN's retransmission or two on a busy machine. */
const PATIENCE_MS = 20_000;
const SLOW = { timeoutMs: PATIENCE_MS };

let rig: Rig;
beforeAll(async () => {
  rig = await createRig({ podRoutes: 'vxlan' });
  const { lab } = rig;
  rig.manifests.write('nodes.json', lab.nodes.map(nodeObject));
  const [host] = (await lab.node(2).addPods(['host'], { hostNetwork: true })) as [Pod];
  await serve(host);
  rig.manifests.write('services.json', [
    service('far', FAR),
    ...slices('far', [lab.pod(2, 1)]),
    service('near', NEAR),
    ...slices('near', [host]),
  ]);
});
afterAll(() => rig?.lab.destroy());

const own = (host: Host, family: IpFamily): string => (family === 'IPv4' ? host.ipv4 : host.ipv6);
/** The overlay's address of a node: the one that it has as a source behind the overlay. */
const overlayAddress = (n: number, family: IpFamily): string => podNetworks(n, FAMILIES)[family] ?? '';

/** What a client outside dials: the NodePort of node1 and a load balancer's address. */
const frontends = (family: IpFamily, protocol: 'http' | 'tcp' | 'udp') =>
  [
    [own(rig.lab.node(1), family), nodePortOf(FAR) + (protocol === 'tcp' ? 100 : 0)],
    [addressesOf(FAR).balancerIp[family], SERVICE_PORTS[protocol]],
  ] as const;

/** Runs `ip -batch` lines on node1. */
const onNode1 = (lines: readonly string[]) => rig.lab.node(1).run(['ip', '-batch', '-'], { input: lines.join('\n') });

async function megabytes(from: Host, address: string, port: number): Promise<void> {
  const tcp = await from.actor.open('tcp', address, port, { timeoutMs: PATIENCE_MS });
  const { ok, bytes, errno } = await tcp.exchange({ bytes: MEGABYTES, timeoutMs: 60_000 });
  await tcp.close();
  expect({ from: from.name, address, ok, bytes, errno }).toMatchObject({ address, ok: true, bytes: MEGABYTES });
}

describe.each([
  { socketLb: 'all', xdp: 'off' },
  { socketLb: 'host-only', xdp: 'native' },
  { socketLb: 'host-only', xdp: 'generic' },
] as const)('--socket-lb $socketLb --xdp $xdp', ({ socketLb, xdp }) => {
  let agents: Agent[] = [];
  beforeAll(async () => {
    // On a wire checksums are complete: XDP leaves others to tc.
    setOffload(rig.lab.client().netns, 'eth0', 'tx-checksumming', xdp === 'off');
    agents = await rig.startAgents({ socketLb, extraArgs: ['--xdp', xdp] });
  });
  afterAll(async () => {
    await Promise.all(agents.map((agent) => agent.stop()));
  });

  it.each(FAMILIES)('from outside to a pod behind the overlay, %s (R-45, R-98)', async (family) => {
    const { lab } = rig;
    for (const protocol of PROTOCOLS) {
      for (const [address, port] of frontends(family, protocol === 'http' ? 'http' : 'udp')) {
        const probe = await dial(lab.client(), protocol, address, port, PATIENCE_MS);
        expect({ address, protocol, ...probe }).toMatchObject({
          protocol,
          ok: true,
          who: lab.pod(2, 1).name,
          seenSource: overlayAddress(1, family),
        });
      }
    }
  });

  it.each(FAMILIES)('megabytes both ways, from everywhere, %s', async (family) => {
    const { lab } = rig;
    for (const [address, port] of frontends(family, 'tcp')) await megabytes(lab.client(), address, port);
    for (const inside of [lab.pod(1, 2), lab.node(1)])
      await megabytes(inside, addressesOf(FAR).clusterIp[family], SERVICE_PORTS.tcp);
    // Only generic XDP can send into a device that has no driver.
    const { counters } = await sluiceJson<{ counters: { reason: string; packets: number }[] }>(lab.node(1), 'status');
    const byXdp = counters.find(({ reason }) => reason === 'REDIRECTED_XDP')?.packets ?? 0;
    if (xdp === 'generic') expect(byXdp).toBeGreaterThan(100);
  });

  it.each(FAMILIES)('from a pod and from the node, %s', async (family) => {
    const { lab } = rig;
    for (const [from, source] of [
      [lab.pod(1, 2), own(lab.pod(1, 2), family)],
      [lab.node(1), overlayAddress(1, family)],
    ] as const) {
      for (const protocol of PROTOCOLS) {
        const port = portOf(protocol, false, FAR);
        const probe = await dial(from, protocol, addressesOf(FAR).clusterIp[family], port, PATIENCE_MS);
        expect({ protocol, ...probe }).toMatchObject({ protocol, ok: true, who: lab.pod(2, 1).name });
        expect(probe.seenSource).toBe(source);
      }
    }
  });

  // Routers break what may be broken, and tell of the rest; nobody remembers what the path takes.
  it.each(FAMILIES)('datagrams that the overlay takes in pieces alone, %s (R-99, R-100)', async (family) => {
    const { lab } = rig;
    const forget = () => lab.client().run(['ip', family === 'IPv4' ? '-4' : '-6', 'route', 'flush', 'cache']);
    for (const [address, port] of frontends(family, 'udp')) {
      for (const bytes of [1450, 4000, 20_000]) {
        const ask = () => lab.client().actor.udp(address, port, { bytes, timeoutMs: family === 'IPv4' ? 5000 : 1000 });
        await forget();
        const first = await ask();
        // Whole, it must not be broken on the way; in IPv6 no piece of it either. The sender learns that at once.
        if (family === 'IPv4' && bytes > 1500) expect({ address, ...first }).toMatchObject({ ok: true, bytes });
        else await poll(`be answered ${bytes} bytes by ${address}`, async () => (await ask()).ok, SLOW);
      }
    }
    await forget();
    for (const from of [lab.pod(1, 2), lab.node(1)]) {
      const probe = await from.actor.udp(addressesOf(FAR).clusterIp[family], SERVICE_PORTS.udp, { bytes: 4000 });
      expect({ from: from.name, ...probe }).toMatchObject({ from: from.name, ok: true, bytes: 4000 });
    }
  });

  it.each(FAMILIES)('a datagram to a neighbour that is not resolved yet is not lost, %s', async (family) => {
    const { lab } = rig;
    const [node, address] = [lab.node(1), own(lab.node(1), family)];
    for (let i = 0; i < 3; i++) {
      await node.run(['ip', 'neigh', 'flush', 'to', own(lab.node(2), family), 'dev', 'eth0']);
      const probe = await dial(lab.client(), 'udp', address, nodePortOf(NEAR), PATIENCE_MS);
      expect(probe).toMatchObject({ ok: true, who: lab.pod(2, 'host').name, seenSource: address });
    }
  });

  it.each(FAMILIES)('a connection waits for the neighbour in the overlay, %s', async (family) => {
    const { lab } = rig;
    const next = overlayAddress(2, family);
    // Nobody answers for it, since the overlay learns nothing. Then somebody tells it, as flannel does.
    await onNode1([`neigh del ${next} dev ${OVERLAY_DEVICE}`]);
    const [[address, port]] = frontends(family, 'http');
    const waiting = lab.client().actor.http(address, port, { timeoutMs: PATIENCE_MS });
    await poll('see the node ask for its neighbour', async () => {
      const shown = await lab.node(1).run(['ip', 'neigh', 'show', 'to', next, 'dev', OVERLAY_DEVICE, 'nud', 'all']);
      return /INCOMPLETE|FAILED/.test(shown);
    });
    await onNode1(overlayPeerLines(2, FAMILIES));
    expect(await waiting).toMatchObject({ ok: true, who: lab.pod(2, 1).name });
  });

  describe.each(['unreachable', 'elsewhere'] as const)('the route to the backend goes, and is %s', (became) => {
    it.each(FAMILIES)('a connection goes on when it is back, and so do new ones, %s', async (family) => {
      const { lab } = rig;
      const network = lab.node(2).podCidrs[family];
      const gone = `unreachable ${network} metric ${family === 'IPv4' ? 10 : 2048}`;
      const [[address, port]] = frontends(family, 'tcp');
      const tcp = await lab.client().actor.open('tcp', address, port, { timeoutMs: PATIENCE_MS });
      expect((await tcp.exchange({ bytes: 1000 })).ok).toBe(true);
      if (became === 'unreachable') await onNode1([`route add ${gone}`]);
      await onNode1([`route del ${network} dev ${OVERLAY_DEVICE}`]);
      const meanwhile = tcp.exchange({ bytes: 1000, timeoutMs: 60_000 });
      // As soon as its SYN is seen or repeated; elsewhere nobody may tell.
      const timeoutMs = became === 'unreachable' ? PATIENCE_MS : 1000;
      const lost = await lab.client().actor.http(...frontends(family, 'http')[0], { timeoutMs });
      // The stack tells the client what it found.
      const told = became === 'unreachable' ? /^E(HOST|NET)UNREACH$/ : /^E/;
      expect(lost.errno).toMatch(told);
      await onNode1(overlayPeerLines(2, FAMILIES));
      if (became === 'unreachable') await onNode1([`route del ${gone}`]);
      expect(await meanwhile).toMatchObject({ ok: true, bytes: 1000 });
      await tcp.close();
      const again = () => lab.client().actor.http(...frontends(family, 'http')[0]);
      await poll('reach the backend anew', async () => (await again()).ok, SLOW);
    });
  });
});
