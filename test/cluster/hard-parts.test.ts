/**
 * What is easily left out, by traffic: pings, datagrams in pieces, ICMP errors and path MTU, ports that a
 * cluster IP does not have, and processes of the node that the socket hook does not serve.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Protocol, portOf } from '../support/cluster/dial.ts';
import { nextHop, sendFrames } from '../support/cluster/frames.ts';
import { addressesOf, nodePortOf, POD_PORTS, SERVICE_PORTS, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import type { Agent } from '../support/lab/agent.ts';
import type { Host } from '../support/lab/host.ts';
import { pieces } from '../support/packet/pieces.ts';
import type { Probe } from '../support/traffic/protocol.ts';

const FAMILIES = ['IPv4', 'IPv6'] as const;
type Family = (typeof FAMILIES)[number];
const HERE = 11;
const ELSEWHERE = 12;
const NONE = 13;
const INNER = 14;
/** Its UDP endpoints' port is closed. */
const CLOSED = 15;
/** Short of a SYN's first retransmission. */
const AT_ONCE_MS = 950;
const SILENCE_MS = 300;

let rig: Rig;
const addressOf = (host: Host, family: Family) => (family === 'IPv4' ? host.ipv4 : host.ipv6);

beforeAll(async () => {
  rig = await createRig();
  const { lab } = rig;
  const closed = slices('closed', [lab.pod(2, 1)]).map((slice) => ({
    ...slice,
    ports: slice.ports?.map((port) => (port.name === 'udp' ? { ...port, port: 5999 } : port)),
  }));
  rig.manifests.write('services.json', [
    service('here', HERE),
    ...slices('here', [lab.pod(1, 1)]),
    service('elsewhere', ELSEWHERE),
    ...slices('elsewhere', [lab.pod(2, 1)]),
    service('none', NONE),
    ...slices('none', []),
    service('inner', INNER, { internalTrafficPolicy: 'Local' }),
    ...slices('inner', [lab.pod(2, 1)]),
    service('closed', CLOSED),
    ...closed,
  ]);
});
afterAll(() => rig?.lab.destroy());

const ask = (from: Host, protocol: Protocol, address: string, port: number, timeoutMs?: number): Promise<Probe> => {
  const options = timeoutMs === undefined ? {} : { timeoutMs };
  if (protocol === 'http') return from.actor.http(address, port, options);
  return from.actor.udp(address, port, { ...options, connected: protocol === 'udp' });
};

/** A datagram from the client to a port of the node, its pieces in the order given: three of 4,000 bytes. */
async function sendPieces(
  client: Host,
  node: Host,
  family: Family,
  { port, to, order, bytes = 4000 }: { port: number; to: number; order: readonly number[]; bytes?: number },
): Promise<unknown> {
  const [from, address] = [addressOf(client, family), addressOf(node, family)];
  const { device, macs } = await nextHop(client, address);
  const frames = pieces({ from, to: address, sport: port, dport: to, data: Buffer.alloc(bytes, 'x'), id: port, macs });
  const ordered = order.flatMap((n) => frames[n] ?? []);
  return sendFrames(client, device, ordered, { address: from, port, timeoutMs: 3000 });
}

describe.each(['all', 'host-only'] as const)('--socket-lb %s', (socketLb) => {
  let agents: Agent[] = [];
  beforeAll(async () => {
    agents = await rig.startAgents({ socketLb });
  });
  afterAll(async () => {
    await Promise.all(agents.map((agent) => agent.stop()));
  });

  const clients = () => ({ pod: rig.lab.pod(1, 2), node: rig.lab.node(1), outside: rig.lab.client() });

  it.each(FAMILIES)('pings to a Service are answered while it has a backend, %s (R-97)', async (family) => {
    const ping = async (from: Host, address: string, bytes = 56) =>
      (await from.exec(['ping', '-n', '-c', '1', '-W', '1', '-s', String(bytes), address])).code;
    for (const [name, client] of Object.entries(clients())) {
      for (const kind of ['clusterIp', 'externalIp', 'balancerIp'] as const) {
        const codes = await Promise.all([
          ping(client, addressesOf(HERE)[kind][family]),
          ping(client, addressesOf(ELSEWHERE)[kind][family], 1400),
          ping(client, addressesOf(NONE)[kind][family]),
        ]);
        // An external IP may be any host: pings to it go there.
        expect([name, kind, ...codes]).toEqual([name, kind, ...(kind === 'externalIp' ? [1, 1, 1] : [0, 0, 1])]);
      }
    }
  });

  it.each(FAMILIES)('datagrams of 4,000 and 20,000 bytes arrive whole, %s (R-99)', async (family) => {
    for (const [name, client] of Object.entries(clients())) {
      for (const [n, pod] of [
        [HERE, rig.lab.pod(1, 1)],
        [ELSEWHERE, rig.lab.pod(2, 1)],
      ] as const) {
        const frontends = [
          [addressesOf(n).clusterIp[family], SERVICE_PORTS.udp],
          [addressOf(rig.lab.node(1), family), nodePortOf(n)],
        ] as const;
        for (const [address, port] of frontends) {
          for (const bytes of [4000, 20_000]) {
            const probe = await client.actor.udp(address, port, { bytes });
            expect({ name, address, ...probe }).toMatchObject({ name, ok: true, who: pod.name, bytes });
          }
        }
      }
    }
  });

  it.each(FAMILIES)('a datagram arrives whole in whatever order its pieces come, %s (R-99)', async (family) => {
    const [client, node] = [rig.lab.client(), rig.lab.node(1)];
    for (const [n, pod] of [
      [HERE, rig.lab.pod(1, 1)],
      [ELSEWHERE, rig.lab.pod(2, 1)],
    ] as const) {
      for (const [round, order] of [
        [2, 1, 0],
        [1, 2, 0],
        [2, 0, 1],
      ].entries()) {
        const port = 21_000 + 100 * n + round;
        const answer = await sendPieces(client, node, family, { port, to: nodePortOf(n), order });
        expect({ n, order, answer }).toMatchObject({ n, order, answer: { who: pod.name, bytes: 4000 } });
      }
    }
  });

  it.each(FAMILIES)('one for the node itself as well, %s', async (family) => {
    const [client, node] = [rig.lab.client(), rig.lab.node(1)];
    await node.actor.serve({ udp: [5999] });
    for (const [round, order] of [
      [2, 1, 0],
      [0, 1, 2],
      [1, 0, 2],
    ].entries()) {
      const answer = await sendPieces(client, node, family, { port: 22_000 + round, to: 5999, order });
      expect({ order, answer }).toMatchObject({ order, answer: { who: node.name, bytes: 4000 } });
    }
    // More pieces than are held: the others wait in the stack.
    const order = Array.from({ length: 9 }, (_, n) => 8 - n);
    const answer = await sendPieces(client, node, family, { port: 22_003, to: 5999, order, bytes: 12_000 });
    expect(answer).toMatchObject({ who: node.name, bytes: 12_000 });
    await node.actor.unserve({ ports: [5999] });
  });

  it.each(FAMILIES)('a closed port of the backend is told to the client, %s (R-100)', async (family) => {
    const frontends = [
      [addressesOf(CLOSED).clusterIp[family], SERVICE_PORTS.udp],
      [addressOf(rig.lab.node(1), family), nodePortOf(CLOSED)],
    ] as const;
    for (const client of Object.values(clients())) {
      for (const [address, port] of frontends) {
        const { errno } = await ask(client, 'udp', address, port);
        expect([client.name, address, errno]).toEqual([client.name, address, 'ECONNREFUSED']);
      }
    }
  });

  it.each(FAMILIES)('a port that a cluster IP does not have is refused at once, %s (R-32)', async (family) => {
    const address = addressesOf(HERE).clusterIp[family];
    for (const client of Object.values(clients())) {
      for (const protocol of ['http', 'udp'] as const) {
        const { errno } = await ask(client, protocol, address, 4444, AT_ONCE_MS);
        expect([client.name, protocol, errno]).toEqual([client.name, protocol, 'ECONNREFUSED']);
      }
    }
  });

  it.each(
    FAMILIES,
  )('a process of the node waits in vain for an internal Local policy without endpoint here, %s (R-29)', async (family) => {
    const address = addressesOf(INNER).clusterIp[family];
    for (const protocol of ['http', 'udp', 'sendto'] as const) {
      const port = portOf(protocol, false, INNER);
      expect((await ask(rig.lab.node(1), protocol, address, port, SILENCE_MS)).errno).toBe('ETIMEDOUT');
      expect((await ask(rig.lab.node(2), protocol, address, port)).who).toBe(rig.lab.pod(2, 1).name);
    }
  });
});

describe('path MTU', () => {
  let agents: Agent[] = [];
  beforeAll(async () => {
    agents = await rig.startAgents({ socketLb: 'host-only' });
    const { lab } = rig;
    // The way to the client is narrower than both its ends know.
    await lab.net.run(['ip', 'link', 'set', 'clients', 'mtu', '1300']);
  });
  afterAll(async () => {
    await rig.lab.net.run(['ip', 'link', 'set', 'clients', 'mtu', '1500']);
    await Promise.all(agents.map((agent) => agent.stop()));
  });

  it.each(
    FAMILIES.flatMap((family) => [HERE, ELSEWHERE].map((n) => ({ family, n }))),
  )('the backend learns that answers to the client are too big, $family, Service $n (R-100)', async ({ family, n }) => {
    const { lab } = rig;
    const client = lab.client();
    const pod = n === HERE ? lab.pod(1, 1) : lab.pod(2, 1);
    const address = addressOf(lab.node(1), family);
    const flush = ['ip', family === 'IPv4' ? '-4' : '-6', 'route', 'flush', 'cache'];
    await pod.run(flush);
    const probe = await client.actor.http(address, nodePortOf(n), { path: '/bytes?n=300000', timeoutMs: 8000 });
    expect(probe).toMatchObject({ ok: true, who: pod.name, bytes: 300_000 });
    // The backend's own view of the path to whom it answers.
    const route = await pod.run(['ip', 'route', 'get', probe.seenSource ?? '']);
    expect(route).toContain('mtu 1300');
  });
});

describe('processes of the node outside the agent’s cgroup (R-96)', () => {
  let agents: Agent[] = [];
  beforeAll(async () => {
    const { lab } = rig;
    // The socket hook serves the cgroup of one pod alone.
    const options = (n: number) => ({ extraArgs: ['--cgroup-root', lab.pod(n, 2).cgroup] });
    agents = await Promise.all([1, 2].map((n) => rig.startAgent(n, options(n))));
  });
  afterAll(async () => {
    await Promise.all(agents.map((agent) => agent.stop()));
  });

  describe.each(FAMILIES)('%s', (family) => {
    const node = () => rig.lab.node(1);

    it.each([
      ['here', HERE],
      ['elsewhere', ELSEWHERE],
    ] as const)('reach a backend %s by TCP and UDP (R-96)', async (where, n) => {
      const pod = where === 'here' ? rig.lab.pod(1, 1) : rig.lab.pod(2, 1);
      for (const frontend of ['clusterIp', 'externalIp', 'balancerIp'] as const) {
        const address = addressesOf(n)[frontend][family];
        for (const protocol of ['http', 'udp', 'sendto'] as const) {
          const probe = await ask(node(), protocol, address, portOf(protocol, false, n));
          expect({ protocol, address, ...probe }).toMatchObject({ ok: true, who: pod.name, peerAddress: address });
        }
        const tcp = await node().actor.open('tcp', address, SERVICE_PORTS.tcp);
        expect(await tcp.exchange({ bytes: 100_000 })).toMatchObject({ ok: true, bytes: 100_000 });
        await tcp.close();
        const big = await node().actor.udp(address, SERVICE_PORTS.udp, { bytes: 20_000 });
        expect(big).toMatchObject({ ok: true, who: pod.name, bytes: 20_000 });
      }
    });

    it('are refused where there is no endpoint, and no such port (R-28, R-32)', async () => {
      for (const protocol of ['http', 'udp'] as const) {
        const none = ask(node(), protocol, addressesOf(NONE).clusterIp[family], portOf(protocol, false, NONE), 950);
        const port = ask(node(), protocol, addressesOf(HERE).clusterIp[family], 4444, 950);
        expect([protocol, (await none).errno, (await port).errno]).toEqual([protocol, 'ECONNREFUSED', 'ECONNREFUSED']);
      }
    });

    it('wait in vain for an internal Local policy without endpoint here (R-29)', async () => {
      const address = addressesOf(INNER).clusterIp[family];
      for (const protocol of ['http', 'udp'] as const) {
        const { errno } = await ask(node(), protocol, address, portOf(protocol, false, INNER), SILENCE_MS);
        expect(errno).toBe('ETIMEDOUT');
      }
    });

    it('learn of a closed port of the backend (R-100)', async () => {
      const { errno } = await ask(node(), 'udp', addressesOf(CLOSED).clusterIp[family], SERVICE_PORTS.udp);
      expect(errno).toBe('ECONNREFUSED');
    });

    it('dial pods as before', async () => {
      const pod = rig.lab.pod(2, 1);
      expect(await node().actor.http(addressOf(pod, family), POD_PORTS.http)).toMatchObject({ ok: true });
    });
  });
});
