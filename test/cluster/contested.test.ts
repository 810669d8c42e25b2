/**
 * External IPs that no node has, two Services that claim one of them, and pings. Agents run on
 * both nodes; the router sends the addresses to node1.
 */
import { afterAll, beforeAll, describe, it } from 'vitest';
import type { KubernetesObject, Service } from '../../src/model/kubernetes.ts';
import { addressesOf, service, slices, type Target } from '../support/cluster/objects.ts';
import { Stage } from '../support/cluster/stage.ts';
import { expectTable, REFUSED, type Row, whoRow } from '../support/cluster/table.ts';
import type { IpFamily } from '../support/lab/addressing.ts';
import type { Host } from '../support/lab/host.ts';
import type { Pod } from '../support/lab/node.ts';

const FAMILIES: readonly IpFamily[] = ['IPv4', 'IPv6'];
const OLDER = 11;
const YOUNGER = 12;
/** Whose external IPs both claim. */
const CONTESTED = 20;

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.create();
});
afterAll(() => stage?.destroy());

const clients = (): Record<string, Host> => ({
  'pod on node1': stage.pod(1, 2),
  'pod on node2': stage.pod(2, 2),
  node1: stage.node(1),
  node2: stage.node(2),
  outside: stage.client(),
});

function rows(kind: 'clusterIp' | 'externalIp' | 'balancerIp', n: number, want: string): Row[] {
  return Object.entries(clients()).flatMap(([name, from]) =>
    FAMILIES.flatMap((family) =>
      (['http', 'udp'] as const).map((protocol) => {
        const address = addressesOf(n)[kind][family];
        const port = protocol === 'http' ? 80 : 53;
        return whoRow(`${name} → ${kind} ${n} ${protocol} ${family}`, { from, protocol, address, port }, want);
      }),
    ),
  );
}

function claiming(name: string, n: number, created: string, pod: Pod): KubernetesObject[] {
  const { externalIp } = addressesOf(CONTESTED);
  const made: Service = service(name, n, { externalIPs: [externalIp.IPv4, externalIp.IPv6] });
  return [{ ...made, metadata: { ...made.metadata, creationTimestamp: created } }, ...slices(name, [pod])];
}

describe.each(['all', 'host-only'] as const)('--socket-lb %s', (socketLb) => {
  beforeAll(async () => {
    await stage.apply([]);
    await stage.run({ socketLb });
  });

  it('an external IP answers everywhere, though no node has it (R-94)', async () => {
    const pod = stage.pod(2, 1);
    await stage.apply([service('web', OLDER), ...slices('web', [pod])]);
    await expectTable(rows('externalIp', OLDER, pod.name));
  });

  it('claimed twice, it stays with the older Service, and goes to the other when that is deleted (R-95)', async () => {
    // Names and numbers speak for the younger one.
    const older = claiming('zz-older', OLDER, '2024-01-01T00:00:00Z', stage.pod(1, 1));
    const younger = claiming('aa-younger', YOUNGER, '2024-01-01T00:00:01Z', stage.pod(2, 1));
    const [oldest, youngest] = [stage.pod(1, 1).name, stage.pod(2, 1).name];
    const table = (holder: string) => rows('externalIp', CONTESTED, holder);

    await stage.apply(younger);
    await expectTable(table(youngest));
    await stage.apply([...younger, ...older]);
    await expectTable([...table(oldest), ...rows('clusterIp', OLDER, oldest), ...rows('clusterIp', YOUNGER, youngest)]);
    // Whatever else changes of the two: the endpoints of the younger, of the older, and a restart.
    await stage.apply([...claiming('aa-younger', YOUNGER, '2024-01-01T00:00:01Z', stage.pod(2, 2)), ...older]);
    await expectTable(table(oldest));
    await stage.apply([...older, ...younger]);
    await expectTable(table(oldest));
    await stage.run({ socketLb });
    await expectTable(table(oldest));
    // Without an endpoint it is still the older one's.
    await stage.apply([...older.slice(0, 1), ...younger]);
    await expectTable(table(REFUSED));
    await stage.apply(younger);
    await expectTable(table(youngest));
    await stage.apply([...younger, ...older]);
    await expectTable(table(oldest));
  });

  it('pings are answered while the Service has a backend, from everywhere (R-97)', async () => {
    const terminating: Target = {
      pod: stage.pod(2, 1),
      conditions: { ready: false, serving: true, terminating: true },
    };
    const kinds = ['clusterIp', 'balancerIp'] as const;
    const table = (want: string): Row[] =>
      Object.entries(clients()).flatMap(([name, from]) =>
        FAMILIES.flatMap((family) =>
          kinds.map((kind) => ({
            name: `${name} → ${kind} ${family}`,
            want,
            ask: async () => {
              const address = addressesOf(OLDER)[kind][family];
              const wait = want === 'answered' ? '10' : '1';
              const { code } = await from.exec(['ping', '-n', '-c', '1', '-W', wait, address]);
              return code === 0 ? 'answered' : 'silent';
            },
          })),
        ),
      );
    await stage.apply([service('web', OLDER), ...slices('web', [terminating])]);
    await expectTable(table('answered'));
    await stage.apply([service('web', OLDER), ...slices('web', [])]);
    await expectTable(table('silent'));
  });
});
