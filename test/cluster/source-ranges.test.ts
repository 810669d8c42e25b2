/** loadBalancerSourceRanges, by traffic (R-58, R-60…R-65): clients outside and inside. Only node1 runs an agent. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Service } from '../../src/model/kubernetes.ts';
import { addressesOf, nodePortOf, service, slices } from '../support/cluster/objects.ts';
import { Stage } from '../support/cluster/stage.ts';
import { DROPPED, expectTable, REFUSED, type Row, whoRow } from '../support/cluster/table.ts';
import type { IpFamily } from '../support/lab/addressing.ts';
import type { Host } from '../support/lab/host.ts';
import type { Pod } from '../support/lab/node.ts';

const FAMILIES: readonly IpFamily[] = ['IPv4', 'IPv6'];
const WEB = 11;
const NONE = 12;
const KEPT = 13;

let stage: Stage;
let backend: Pod;
let remote: Pod;

beforeAll(async () => {
  stage = await Stage.create({ externalClients: 2 });
  [backend, remote] = [stage.pod(1, 1), stage.pod(2, 1)];
});
afterAll(() => stage?.destroy());

const clients = (): Record<string, Host> => ({
  client1: stage.client(1),
  client2: stage.client(2),
  pod: stage.pod(1, 2),
  node: stage.node(1),
  node2: stage.node(2),
});
const addressOf = (host: Host, family: IpFamily) => (family === 'IPv4' ? host.ipv4 : host.ipv6);

/** An external policy Local keeps the clients apart from their source NAT: the rule looks at them before it. */
const ranged = (n: number, ranges: readonly string[] | undefined, spec: Service['spec'] = {}): Service =>
  service(`web-${n}`, n, { ...(ranges !== undefined && { loadBalancerSourceRanges: [...ranges] }), ...spec });

/** @param inside names of clients that must be served at the load balancer's address; others are dropped */
function ofBalancer(n: number, inside: readonly string[], want: string): Row[] {
  return Object.entries(clients()).flatMap(([name, from]) =>
    FAMILIES.flatMap((family) =>
      (['http', 'udp'] as const).map((protocol) => {
        const question = {
          from,
          protocol,
          address: addressesOf(n).balancerIp[family],
          port: protocol === 'http' ? 80 : 53,
        };
        return whoRow(`${name} LoadBalancer ${protocol} ${family}`, question, inside.includes(name) ? want : DROPPED);
      }),
    ),
  );
}

/** The other addresses know no ranges. */
function ofOthers(n: number, want: string): Row[] {
  return Object.entries(clients()).flatMap(([name, from]) =>
    FAMILIES.flatMap((family) => {
      const { clusterIp, externalIp } = addressesOf(n);
      const node = addressOf(stage.node(1), family);
      const places = { ClusterIP: [clusterIp[family], 80], ExternalIP: [externalIp[family], 80] } as const;
      return Object.entries({ ...places, NodePort: [node, nodePortOf(n)] as const }).map(([kind, [address, port]]) =>
        whoRow(`${name} ${kind} ${family}`, { from, protocol: 'http', address, port }, want),
      );
    }),
  );
}

describe.each(['all', 'host-only'] as const)('--socket-lb %s', (socketLb) => {
  beforeAll(async () => {
    await stage.apply([]);
    await stage.run({ nodes: [1], socketLb });
  });

  const apply = (ranges: readonly string[] | undefined, spec: Service['spec'] = {}) =>
    stage.apply([
      ranged(WEB, ranges, spec),
      ...slices(`web-${WEB}`, [backend]),
      ranged(NONE, ranges, spec),
      ...slices(`web-${NONE}`, []),
    ]);

  it('drop who is outside, at the load balancer’s address alone (R-58, R-60, R-61, R-62)', async () => {
    const { client1 } = { client1: stage.client(1) };
    // Trimmed; each family by its own ranges.
    await apply([` ${client1.ipv4}/32 `, `${client1.ipv6}/128`]);
    await expectTable([...ofBalancer(WEB, ['client1'], backend.name), ...ofOthers(WEB, backend.name)]);
  });

  it('hold for pods and nodes too, and let in whom they name (R-62, R-63)', async () => {
    await apply([stage.node(1).podCidrs.IPv4, stage.node(1).podCidrs.IPv6]);
    // The bridge's own address is in the pods' network, but the node sends from its primary one.
    await expectTable(ofBalancer(WEB, ['pod'], backend.name));
    await apply([`${stage.node(2).ipv4}/32`, `${stage.node(2).ipv6}/128`]);
    await expectTable(ofBalancer(WEB, ['node2'], backend.name));
    await apply([`${stage.node(1).ipv4}/32`, `${stage.node(1).ipv6}/128`]);
    await expectTable(ofBalancer(WEB, ['node'], backend.name));
  });

  it('of one family leave the other open; an empty list is open (R-60)', async () => {
    await apply([`${stage.client(2).ipv4}/32`]);
    const rows = ofBalancer(WEB, Object.keys(clients()), backend.name).filter(({ name }) => name.includes('IPv6'));
    const closed = ofBalancer(WEB, ['client2'], backend.name).filter(({ name }) => name.includes('IPv4'));
    await expectTable([...rows, ...closed]);
    await apply([]);
    await expectTable(ofBalancer(WEB, Object.keys(clients()), backend.name));
  });

  it('come first: without endpoints who is outside hears nothing, who is inside is refused (R-64)', async () => {
    await apply([`${stage.client(1).ipv4}/32`, `${stage.client(1).ipv6}/128`]);
    await expectTable([...ofBalancer(NONE, ['client1'], REFUSED), ...ofOthers(NONE, REFUSED)]);
  });

  it('are asked before the source is translated, and with a Local policy (R-60, R-61)', async () => {
    await apply([`${stage.client(1).ipv4}/32`, `${stage.client(1).ipv6}/128`], { externalTrafficPolicy: 'Local' });
    await expectTable(ofBalancer(WEB, ['client1'], backend.name));
    await stage.apply([
      ranged(WEB, [`${stage.client(1).ipv4}/32`, `${stage.client(1).ipv6}/128`]),
      ...slices(`web-${WEB}`, [remote]),
    ]);
    await expectTable(ofBalancer(WEB, ['client1'], remote.name));
  });

  it('that change are followed by new connections; those there are go on (R-65)', async () => {
    const open = (from: Host, family: IpFamily) =>
      from.actor.open('tcp', addressesOf(KEPT).balancerIp[family], 90, { timeoutMs: 10_000 });
    const objects = (ranges: readonly string[] | undefined) => [
      ranged(KEPT, ranges),
      ...slices(`web-${KEPT}`, [backend, remote]),
    ];
    await stage.apply(objects(undefined));
    const talks = await Promise.all(
      [stage.client(1), stage.pod(1, 2), stage.node(1)].flatMap((from) => FAMILIES.map((family) => open(from, family))),
    );
    expect(talks.map(({ opened }) => opened.ok)).toEqual(talks.map(() => true));
    await stage.apply(objects([`${stage.client(2).ipv4}/32`, `${stage.client(2).ipv6}/128`]));
    await expectTable(ofBalancer(KEPT, [], '').filter(({ name }) => !name.startsWith('client2')));
    for (const talk of talks)
      expect(await talk.exchange({ bytes: 5000, timeoutMs: 10_000 })).toMatchObject({ ok: true });
    await Promise.all(talks.map((talk) => talk.close()));
  });
});

it('the address bound on the node loops back: let in when the ranges name the node (R-63)', async () => {
  const node = stage.node(1);
  const looped = (family: IpFamily) => addressesOf(WEB).balancerIp[family];
  for (const family of FAMILIES) {
    const bits = family === 'IPv4' ? 32 : 128;
    const nodad = family === 'IPv6' ? ['nodad'] : [];
    await node.run(['ip', 'address', 'add', `${looped(family)}/${bits}`, 'dev', 'eth0', ...nodad]);
  }
  const ask = async (family: IpFamily) =>
    (await node.actor.http(looped(family), 80, { timeoutMs: 1000, localAddress: looped(family) })).who ?? 'nobody';
  const apply = (host: Host) =>
    stage.apply([ranged(WEB, [`${host.ipv4}/32`, `${host.ipv6}/128`]), ...slices(`web-${WEB}`, [backend])]);
  await stage.run({ nodes: [1] });
  await apply(node);
  for (const family of FAMILIES) expect([family, await ask(family)]).toEqual([family, backend.name]);
  await apply(stage.client(1));
  for (const family of FAMILIES) expect([family, await ask(family)]).toEqual([family, 'nobody']);
});
