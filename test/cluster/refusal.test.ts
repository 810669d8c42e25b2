/**
 * Nothing to forward to: refused or dropped, for every kind of address, from every
 * origin, by TCP and UDP, in both families; and the counts of it. Only node1 runs an agent.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { portOf } from '../support/cluster/dial.ts';
import { addressesOf, service, slices } from '../support/cluster/objects.ts';
import { Stage } from '../support/cluster/stage.ts';
import { DROPPED, expectTable, REFUSED, type Row, whoRow } from '../support/cluster/table.ts';
import type { IpFamily } from '../support/lab/addressing.ts';
import type { Host } from '../support/lab/host.ts';

const FRONTENDS = ['ClusterIP', 'NodePort', 'ExternalIP', 'LoadBalancer', 'localhost'] as const;
type Frontend = (typeof FRONTENDS)[number];
const CLIENTS = ['pod', 'node', 'pod of another node', 'other node', 'outside'] as const;
type Client = (typeof CLIENTS)[number];
const FAMILIES: readonly IpFamily[] = ['IPv4', 'IPv6'];

const UNREADY = { ready: false, serving: false, terminating: false };
/** Services by number. */
const NONE = 11;
const ONLY_UNREADY = 12;
const NO_SLICE = 13;
const INTERNAL_LOCAL = 14;
const EXTERNAL_LOCAL = 15;
const BOTH_LOCAL = 16;

let stage: Stage;

beforeAll(async () => {
  stage = await Stage.create();
  // A refusal goes back the way that the packet came: by the router.
  await stage.lab.route(stage.node(2).podCidrs.IPv4, 'node2');
  await stage.lab.route(stage.node(2).podCidrs.IPv6, 'node2');
  const elsewhere = stage.pod(2, 1);
  await stage.apply([
    service('none', NONE),
    ...slices('none', []),
    service('unready', ONLY_UNREADY, { internalTrafficPolicy: 'Local', externalTrafficPolicy: 'Local' }),
    ...slices('unready', [
      { pod: stage.pod(1, 1), conditions: UNREADY },
      { pod: elsewhere, conditions: { ...UNREADY, terminating: true } },
    ]),
    service('no-slice', NO_SLICE, { externalTrafficPolicy: 'Local' }),
    service('internal', INTERNAL_LOCAL, { internalTrafficPolicy: 'Local' }),
    ...slices('internal', [elsewhere]),
    service('external', EXTERNAL_LOCAL, { externalTrafficPolicy: 'Local' }),
    ...slices('external', [elsewhere]),
    service('both', BOTH_LOCAL, { internalTrafficPolicy: 'Local', externalTrafficPolicy: 'Local' }),
    ...slices('both', [{ pod: stage.pod(1, 1), conditions: UNREADY }, elsewhere]),
  ]);
});
afterAll(() => stage?.destroy());

const clientOf = (client: Client): Host => {
  if (client === 'pod') return stage.pod(1, 2);
  if (client === 'node') return stage.node(1);
  if (client === 'other node') return stage.node(2);
  return client === 'outside' ? stage.client() : stage.pod(2, 2);
};

function addressOf(frontend: Frontend, n: number, family: IpFamily): string {
  if (frontend === 'localhost') return '127.0.0.1';
  if (frontend === 'NodePort') return family === 'IPv4' ? stage.node(1).ipv4 : stage.node(1).ipv6;
  const { clusterIp, externalIp, balancerIp } = addressesOf(n);
  return { ClusterIP: clusterIp, ExternalIP: externalIp, LoadBalancer: balancerIp }[frontend][family];
}

/** @param want what each client must get at each kind of address */
function tableOf(n: number, want: (client: Client, frontend: Frontend) => string): Row[] {
  return CLIENTS.flatMap((client) =>
    FRONTENDS.flatMap((frontend) =>
      FAMILIES.flatMap((family) =>
        (['http', 'udp'] as const).flatMap((protocol) => {
          // Over IPv4, from the node itself.
          if (frontend === 'localhost' && (client !== 'node' || family === 'IPv6')) return [];
          const nodePort = frontend === 'NodePort' || frontend === 'localhost';
          const port = portOf(protocol, nodePort, n);
          const question = { from: clientOf(client), protocol, address: addressOf(frontend, n, family), port };
          return whoRow(`${client} → ${frontend}, ${family} ${protocol}`, question, want(client, frontend));
        }),
      ),
    ),
  );
}

// The cluster CIDR holds the pods of the other node too: they are clients inside the cluster.
const isInside = (client: Client) => client !== 'other node' && client !== 'outside';
const answers = () => stage.pod(2, 1).name;

describe.each(['all', 'host-only'] as const)('--socket-lb %s', (socketLb) => {
  beforeAll(() => stage.run({ nodes: [1], socketLb }));

  it.each([
    ['no endpoint', NONE],
    ['unready endpoints alone', ONLY_UNREADY],
    ['no slice', NO_SLICE],
  ] as const)('%s: everybody is refused everywhere, whatever the policies (R-28)', async (_what, n) => {
    await expectTable(tableOf(n, () => REFUSED));
  });

  it('internal policy Local: cluster IPs are silent, the rest answers (R-29, R-43)', async () => {
    await expectTable(tableOf(INTERNAL_LOCAL, (_client, frontend) => (frontend === 'ClusterIP' ? DROPPED : answers())));
  });

  it('external policy Local: from outside all but cluster IPs are silent (R-30, R-42, R-43)', async () => {
    const want = (client: Client, frontend: Frontend) =>
      frontend === 'ClusterIP' || isInside(client) ? answers() : DROPPED;
    await expectTable(tableOf(EXTERNAL_LOCAL, want));
  });

  it('both Local, and an unready endpoint here (R-29, R-30)', async () => {
    const want = (client: Client, frontend: Frontend) =>
      frontend !== 'ClusterIP' && isInside(client) ? answers() : DROPPED;
    await expectTable(tableOf(BOTH_LOCAL, want));
  });
});

it('both are counted, by ServicePort and family (R-31)', async () => {
  const metrics = await stage.node(1).run(['curl', '-sS', '--max-time', '10', 'http://127.0.0.1:10249/metrics']);
  const lines = metrics.split('\n').filter((line) => line.startsWith('kubeproxy_sync_proxy_rules_no_local_endpoints'));
  // Two Services each, three ports: http, tcp and udp.
  expect(lines.sort()).toEqual(
    FAMILIES.flatMap((family) =>
      ['external', 'internal'].map(
        (policy) =>
          `kubeproxy_sync_proxy_rules_no_local_endpoints_total{ip_family="${family}",traffic_policy="${policy}"} 6`,
      ),
    ),
  );
});
