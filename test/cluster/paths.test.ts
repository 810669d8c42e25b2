/**
 * Every path: each kind of client × each kind of frontend × HTTP, connected and unconnected UDP ×
 * both families, to backends here, elsewhere and on both nodes; with the socket hook for all or for
 * the host only, on a bridge and on routed pods. A line of a table says who answered, whom the client
 * believes it spoke to, and which address the backend saw.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dial, PROTOCOLS, type Protocol, portOf } from '../support/cluster/dial.ts';
import { addressesOf, nodePortOf, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import { type Dial, expectedSource } from '../support/cluster/source.ts';
import type { IpFamily } from '../support/lab/addressing.ts';
import type { Agent } from '../support/lab/agent.ts';
import type { Host } from '../support/lab/host.ts';
import { listLeftovers } from '../support/lab/leftovers.ts';
import { LabNode, Pod } from '../support/lab/node.ts';
import type { Probe } from '../support/traffic/protocol.ts';

/** Services by name: their number, and which of the pods p11 and p21 (node1, node2) are behind them. */
const SERVICES = {
  one: { n: 11, backends: ['p11'], externalLocal: false },
  remote: { n: 12, backends: ['p21'], externalLocal: false },
  both: { n: 13, backends: ['p11', 'p21'], externalLocal: false },
  keeps: { n: 14, backends: ['p11', 'p21'], externalLocal: true },
} as const;
type ServiceName = keyof typeof SERVICES;
const NONE = 15;
const ONLY_NODE1 = 16;
const INTERNAL_LOCAL = 17;

const CLIENTS = ['pod on node1', 'pod on node2', 'node1', 'node2', 'outside'] as const;
const FRONTENDS = [
  'ClusterIP',
  'NodePort of node1',
  'NodePort of node2',
  'ExternalIP',
  'LoadBalancer',
  'localhost',
] as const;
const FAMILIES: readonly IpFamily[] = ['IPv4', 'IPv6'];
type ClientName = (typeof CLIENTS)[number];
type FrontendName = (typeof FRONTENDS)[number];

/** Each frontend from each client in each family; 127.0.0.1 from the nodes, over IPv4. */
const CASES = CLIENTS.flatMap((client) =>
  FRONTENDS.flatMap((frontend) => FAMILIES.map((family) => ({ client, frontend, family }))),
).filter(
  ({ client, frontend, family }) => frontend !== 'localhost' || (client.startsWith('node') && family === 'IPv4'),
);

/** Long enough for an answer on a busy machine, short of a SYN's first retransmission. */
const AT_ONCE_MS = 950;
/** How long nothing must come. */
const SILENCE_MS = 300;

describe.each(['bridge', 'routed'] as const)('%s pods', (cni) => {
  let rig: Rig;

  const clientOf = (name: ClientName): Host => {
    if (name === 'outside') return rig.lab.client();
    const node = name.endsWith('1') ? 1 : 2;
    return name.startsWith('pod') ? rig.lab.pod(node, 2) : rig.lab.node(node);
  };
  const podOf = (name: string): Pod => rig.lab.pod(name === 'p11' ? 1 : 2, 1);
  const addressOf = (frontend: FrontendName, n: number, family: IpFamily): string => {
    const { clusterIp, externalIp, balancerIp } = addressesOf(n);
    if (frontend === 'localhost') return '127.0.0.1';
    if (frontend === 'ClusterIP') return clusterIp[family];
    if (frontend === 'ExternalIP') return externalIp[family];
    if (frontend === 'LoadBalancer') return balancerIp[family];
    const node = rig.lab.node(frontend.endsWith('1') ? 1 : 2);
    return family === 'IPv4' ? node.ipv4 : node.ipv6;
  };
  const isNodePort = (frontend: FrontendName) => frontend.startsWith('NodePort') || frontend === 'localhost';
  const send = (client: Host, frontend: FrontendName, family: IpFamily, protocol: Protocol, n: number, ms?: number) =>
    dial(client, protocol, addressOf(frontend, n, family), portOf(protocol, isNodePort(frontend), n), ms);

  beforeAll(async () => {
    rig = await createRig({ cni });
    const objects = Object.entries(SERVICES).flatMap(([name, { n, backends, externalLocal }]) => [
      service(name, n, { externalTrafficPolicy: externalLocal ? 'Local' : 'Cluster' }),
      ...slices(name, backends.map(podOf)),
    ]);
    rig.manifests.write('services.json', [
      ...objects,
      service('none', NONE),
      ...slices('none', []),
      service('only-node1', ONLY_NODE1, { externalTrafficPolicy: 'Local' }),
      ...slices('only-node1', [podOf('p11')]),
      service('inner', INTERNAL_LOCAL, { internalTrafficPolicy: 'Local' }),
      ...slices('inner', [podOf('p21')]),
    ]);
  });

  afterAll(async () => {
    await rig?.lab.destroy();
    if (rig !== undefined) expect(listLeftovers(rig.lab.id)).toEqual([]);
  });

  describe.each(['all', 'host-only'] as const)('--socket-lb %s', (socketLb) => {
    let agents: Agent[] = [];

    beforeAll(async () => {
      agents = await rig.startAgents({ socketLb });
    });

    afterAll(async () => {
      await Promise.all(agents.map((agent) => agent.stop()));
    });

    function dialOf(client: Host, frontend: FrontendName, family: IpFamily, externalLocal: boolean): Dial {
      const home = client instanceof Pod ? client.node : client instanceof LabNode ? client : undefined;
      const entry = rig.lab.node(frontend === 'NodePort of node2' ? 2 : 1);
      const kind = isNodePort(frontend) ? 'NodePort' : (frontend as 'ClusterIP' | 'ExternalIP' | 'LoadBalancer');
      const servedAtHome = home !== undefined && (!frontend.startsWith('NodePort') || entry === home);
      return { client, entry, frontend: kind, servedAtHome, externalLocal, socketLb, cni, family };
    }

    /** The backends that may answer: local ones for clients outside when the policy says so. */
    function backendsFor({ client, entry, servedAtHome }: Dial, name: ServiceName, frontend: FrontendName): Pod[] {
      const { backends, externalLocal } = SERVICES[name];
      const pods = backends.map(podOf);
      const inside = servedAtHome || client instanceof Pod;
      return externalLocal && !inside && frontend !== 'ClusterIP' ? pods.filter(({ node }) => node === entry) : pods;
    }

    const told = (who: string, peer: string, port: number, source: string) =>
      `${who}, as ${peer} ${port}, saw ${source}`;
    const heard = (probe: Probe) =>
      probe.ok
        ? told(probe.who ?? '', probe.peerAddress ?? '', probe.peerPort ?? 0, probe.seenSource ?? '')
        : (probe.errno ?? '');

    /** Dials until each expected line was heard; what else is heard stays in the set. */
    async function hear(expected: ReadonlySet<string>, once: () => Promise<Probe>): Promise<string[]> {
      const lines = new Set<string>();
      for (let i = 0; i < 60 && lines.size <= expected.size; i++) {
        lines.add(heard(await once()));
        if (lines.size === expected.size && expected.size === 1) break;
        if ([...expected].every((line) => lines.has(line))) break;
      }
      return [...lines].sort();
    }

    // NodePorts of own and other nodes, external addresses, backends elsewhere.
    it.each(CASES)('$client → $frontend, $family', async ({ client: clientName, frontend, family }) => {
      const client = clientOf(clientName);
      const actual: Record<string, string[]> = {};
      const wanted: Record<string, string[]> = {};
      for (const name of Object.keys(SERVICES) as ServiceName[]) {
        const { n, externalLocal } = SERVICES[name];
        const dialled = dialOf(client, frontend, family, externalLocal);
        for (const protocol of PROTOCOLS) {
          const port = portOf(protocol, isNodePort(frontend), n);
          const address = addressOf(frontend, n, family);
          const lines = backendsFor(dialled, name, frontend).map((pod) =>
            told(pod.name, address, port, expectedSource(dialled, pod)),
          );
          const row = `${name} ${protocol}`;
          wanted[row] = lines.sort();
          actual[row] = await hear(new Set(lines), () => send(client, frontend, family, protocol, n));
        }
      }
      expect(actual).toEqual(wanted);
    });

    it.each(
      CASES,
    )('refuses at once where there is no endpoint: $client → $frontend, $family (R-28, R-34)', async (row) => {
      const client = clientOf(row.client);
      const answers = await Promise.all(
        (['http', 'udp'] as const).map((protocol) =>
          send(client, row.frontend, row.family, protocol, NONE, AT_ONCE_MS),
        ),
      );
      expect(answers.map(({ errno }) => errno)).toEqual(['ECONNREFUSED', 'ECONNREFUSED']);
    });

    it.each(
      FAMILIES,
    )('drops what comes from outside for a Local policy without a local endpoint, %s (R-30)', async (family) => {
      const { lab } = rig;
      const ask = (client: Host, protocol: Protocol) =>
        send(client, 'NodePort of node2', family, protocol, ONLY_NODE1, SILENCE_MS);
      const dropped = [lab.client(), lab.node(1)].flatMap((client) =>
        PROTOCOLS.map((protocol) => ask(client, protocol)),
      );
      expect((await Promise.all(dropped)).map(heard)).toEqual(dropped.map(() => 'ETIMEDOUT'));
    });

    it.each(FAMILIES)('serves clients in the cluster cluster-wide all the same, %s (R-42)', async (family) => {
      const { lab } = rig;
      const clients = [lab.pod(2, 2), lab.node(2), lab.pod(1, 2)];
      const answers = await Promise.all(
        clients.flatMap((client) =>
          PROTOCOLS.map((protocol) => send(client, 'NodePort of node2', family, protocol, ONLY_NODE1)),
        ),
      );
      expect(answers.map((probe) => probe.who ?? probe.errno)).toEqual(answers.map(() => podOf('p11').name));
    });

    it.each(
      FAMILIES,
    )('drops a pod for an internal Local policy without a local endpoint, %s (R-29)', async (family) => {
      const { lab } = rig;
      const ask = (client: Host) =>
        Promise.all(
          PROTOCOLS.map((protocol) => send(client, 'ClusterIP', family, protocol, INTERNAL_LOCAL, SILENCE_MS)),
        );
      expect((await ask(lab.pod(1, 2))).map(heard)).toEqual(PROTOCOLS.map(() => 'ETIMEDOUT'));
      expect((await ask(lab.pod(2, 2))).map(({ who }) => who)).toEqual(PROTOCOLS.map(() => podOf('p21').name));
      // External frontends do not heed it.
      const outside = await send(lab.client(), 'LoadBalancer', family, 'http', INTERNAL_LOCAL);
      expect(outside.who).toBe(podOf('p21').name);
    });

    it.each(FAMILIES)('lets a pod reach itself through its Service, %s (R-40)', async (family) => {
      const pod = podOf('p11');
      const { n } = SERVICES.one;
      for (const frontend of ['ClusterIP', 'NodePort of node1', 'LoadBalancer'] as const) {
        const source = expectedSource(dialOf(pod, frontend, family, false), pod);
        for (const protocol of PROTOCOLS) {
          const expected = told(
            pod.name,
            addressOf(frontend, n, family),
            portOf(protocol, isNodePort(frontend), n),
            source,
          );
          expect(heard(await send(pod, frontend, family, protocol, n)), `${frontend} ${protocol}`).toBe(expected);
        }
      }
    });

    it('keeps a TCP connection and a UDP socket of any client with one backend', async () => {
      const { lab } = rig;
      for (const client of [lab.pod(1, 2), lab.node(1), lab.client()]) {
        const tcp = await client.actor.open('tcp', addressesOf(SERVICES.both.n).balancerIp.IPv4, 90);
        const udp = await client.actor.open('udp', addressesOf(SERVICES.both.n).balancerIp.IPv6, 53);
        const answers: (string | undefined)[] = [];
        for (let i = 0; i < 5; i++) {
          expect(await tcp.exchange({ bytes: 20_000 })).toMatchObject({ ok: true, bytes: 20_000 });
          answers.push((await udp.exchange()).who);
        }
        expect(new Set(answers).size, `${client.name}: ${answers}`).toBe(1);
        await Promise.all([tcp.close(), udp.close()]);
      }
    });

    it('leaves what is no frontend alone (R-59)', async () => {
      const { lab } = rig;
      const direct = await lab.node(1).actor.http(podOf('p21').ipv4, 8080);
      expect(direct).toMatchObject({ ok: true, who: podOf('p21').name, seenSource: lab.node(1).ipv4 });
      // The NodePort of another Service's number on an address that is not the node's.
      const elsewhere = await lab.pod(1, 2).actor.http(podOf('p21').ipv4, nodePortOf(SERVICES.one.n));
      expect(elsewhere.errno).toBe('ECONNREFUSED');
    });
  });
});
