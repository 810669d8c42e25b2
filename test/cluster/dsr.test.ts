/** Direct server return: clients outside reach backends on other nodes, which see them and answer them directly. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dial, type Protocol, portOf } from '../support/cluster/dial.ts';
import { sluiceJson } from '../support/cluster/kernel.ts';
import { addressesOf, nodePortOf, POD_PORTS, SERVICE_PORTS, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import type { Agent } from '../support/lab/agent.ts';
import type { Host } from '../support/lab/host.ts';
import { nodeObject } from '../support/lab/nodes.ts';
import { poll } from '../support/lab/poll.ts';

const FAMILIES = ['IPv4', 'IPv6'] as const;
type Family = (typeof FAMILIES)[number];
const FAR = 11;
const BOTH = 12;
const CHOOSES_SNAT = 13;
const HOST = 14;
const MEGABYTE = 1 << 20;

let rig: Rig;
const addressOf = (host: Host, family: Family) => (family === 'IPv4' ? host.ipv4 : host.ipv6);

function annotated(name: string, n: number, mode: string) {
  const object = service(name, n);
  return { ...object, metadata: { ...object.metadata, annotations: { 'sluice.io/forwarding-mode': mode } } };
}

beforeAll(async () => {
  rig = await createRig();
  const { lab } = rig;
  const [host] = await lab.node(2).addPods(['host'], { hostNetwork: true });
  if (host === undefined) throw new Error('there is no pod');
  await host.actor.serve({ http: [POD_PORTS.http], tcp: [POD_PORTS.tcp], udp: [POD_PORTS.udp] });
  rig.manifests.write('nodes.json', lab.nodes.map(nodeObject));
  rig.manifests.write('services.json', [
    service('far', FAR),
    ...slices('far', [lab.pod(2, 1)]),
    service('both', BOTH),
    ...slices('both', [lab.pod(1, 1), lab.pod(2, 1)]),
    annotated('snat', CHOOSES_SNAT, 'snat'),
    ...slices('snat', [lab.pod(2, 1)]),
    service('host', HOST),
    ...slices('host', [host]),
  ]);
});
afterAll(() => rig?.lab.destroy());

/** Packets and connections counted by reason on a node. */
async function counted(node: number, reason: string): Promise<number> {
  const { counters } = await sluiceJson<{ counters: { reason: string; packets: number }[] }>(
    rig.lab.node(node),
    'status',
  );
  return counters.find((row) => row.reason === reason)?.packets ?? 0;
}

interface Way {
  readonly mode: 'dsr' | 'hybrid';
  readonly encapsulation: 'ipip' | 'geneve';
}

const WAYS: readonly Way[] = [
  { mode: 'dsr', encapsulation: 'geneve' },
  { mode: 'dsr', encapsulation: 'ipip' },
  { mode: 'hybrid', encapsulation: 'geneve' },
];

describe.each(WAYS)('$mode, $encapsulation', ({ mode, encapsulation }) => {
  let agents: Agent[] = [];
  beforeAll(async () => {
    const extraArgs = ['--forwarding-mode', mode, '--dsr-encapsulation', encapsulation];
    agents = await rig.startAgents({ extraArgs });
  });
  afterAll(async () => {
    await Promise.all(agents.map((agent) => agent.stop()));
  });

  describe.each(FAMILIES)('%s', (family) => {
    const client = () => rig.lab.client();
    const frontends = (n: number) =>
      [
        ['node port', addressOf(rig.lab.node(1), family), true],
        ['external address', addressesOf(n).externalIp[family], false],
        ['load balancer', addressesOf(n).balancerIp[family], false],
      ] as const;
    const sees = (protocol: Protocol) => (mode === 'dsr' || protocol === 'http' ? client() : rig.lab.node(1));

    it.each(['http', 'udp', 'sendto'] as const)('the backend sees who the client is, %s', async (protocol) => {
      for (const [kind, address, nodePort] of frontends(FAR)) {
        const probe = await dial(client(), protocol, address, portOf(protocol, nodePort, FAR), 5000);
        expect({ kind, ...probe }).toMatchObject({
          kind,
          ok: true,
          who: rig.lab.pod(2, 1).name,
          seenSource: addressOf(sees(protocol), family),
          peerAddress: address,
        });
      }
    });

    it('several megabytes go both ways', async () => {
      for (const [kind, address, nodePort] of frontends(FAR)) {
        const tcp = await client().actor.open('tcp', address, nodePort ? nodePortOf(FAR) + 100 : SERVICE_PORTS.tcp);
        const { ok, bytes } = await tcp.exchange({ bytes: 4 * MEGABYTE, timeoutMs: 30_000 });
        expect({ kind, ok, bytes }).toEqual({ kind, ok: true, bytes: 4 * MEGABYTE });
        await tcp.close();
      }
    });

    it('datagrams in pieces arrive whole (R-99)', async () => {
      for (const bytes of [4000, 20_000]) {
        const probe = await client().actor.udp(addressOf(rig.lab.node(1), family), nodePortOf(FAR), { bytes });
        expect(probe).toMatchObject({ ok: true, who: rig.lab.pod(2, 1).name, bytes });
      }
    });

    it('a backend in the network of its node', async () => {
      for (const protocol of ['http', 'udp'] as const) {
        const probe = await dial(client(), protocol, addressOf(rig.lab.node(1), family), nodePortOf(HOST), 5000);
        expect(probe).toMatchObject({ ok: true, seenSource: addressOf(sees(protocol), family) });
      }
    });

    it('a Service that chose source NAT keeps it', async () => {
      const probe = await dial(client(), 'http', addressOf(rig.lab.node(1), family), nodePortOf(CHOOSES_SNAT), 5000);
      expect(probe).toMatchObject({ ok: true, seenSource: addressOf(rig.lab.node(1), family) });
    });

    it('backends here and there are both found', async () => {
      const met = new Set<string | undefined>();
      await poll('meet both backends', async () => {
        const probe = await dial(client(), 'http', addressOf(rig.lab.node(1), family), nodePortOf(BOTH), 5000);
        expect(probe).toMatchObject({ ok: true });
        met.add(probe.who);
        return met.size === 2;
      });
    });

    it('pods and processes of the nodes are served as without it', async () => {
      for (const from of [rig.lab.pod(1, 2), rig.lab.pod(2, 2), rig.lab.node(1), rig.lab.node(2)]) {
        const probe = await dial(from, 'http', addressesOf(FAR).externalIp[family], SERVICE_PORTS.http, 5000);
        expect({ from: from.name, ...probe }).toMatchObject({ from: from.name, ok: true });
      }
    });
  });

  it('counts what it did on both nodes', async () => {
    expect(await counted(1, 'ENCAPSULATED')).toBeGreaterThan(0);
    expect(await counted(2, 'DECAPSULATED')).toBeGreaterThan(0);
  });
});
