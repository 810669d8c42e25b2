/**
 * The two lists of endpoints, by who answers (R-18… ): each mix of ready, terminating and
 * unready endpoints here and elsewhere, under each pair of traffic policies, from a pod, the node,
 * outside and another node. Only node1 runs an agent.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Endpoint } from '../../src/model/kubernetes.ts';
import { type Protocol, portOf } from '../support/cluster/dial.ts';
import { addressesOf, service, slices } from '../support/cluster/objects.ts';
import { Stage } from '../support/cluster/stage.ts';
import { ask, DROPPED, expectTable, REFUSED, type Row, whoAnswers } from '../support/cluster/table.ts';
import type { IpFamily } from '../support/lab/addressing.ts';
import type { Host } from '../support/lab/host.ts';

const POLICIES = ['Cluster', 'Local'] as const;
type Policy = (typeof POLICIES)[number];
const FRONTENDS = ['ClusterIP', 'NodePort', 'ExternalIP', 'LoadBalancer'] as const;
type Frontend = (typeof FRONTENDS)[number];
const CLIENTS = ['pod', 'node', 'outside', 'other node'] as const;
type Client = (typeof CLIENTS)[number];

/** Ready; terminating and serving; terminating and no more serving; unready; serving yet not ready. */
type Letter = 'R' | 'T' | 'N' | 'U' | 'S' | '-';
const CONDITIONS: Record<Exclude<Letter, '-'>, Endpoint['conditions']> = {
  R: { ready: true, serving: true, terminating: false },
  T: { ready: false, serving: true, terminating: true },
  N: { ready: false, serving: false, terminating: true },
  U: { ready: false, serving: false, terminating: false },
  S: { ready: false, serving: true, terminating: false },
};

/** Two endpoints on node1, two on node2. */
const MIXES = ['RRRR', 'T-R-', 'T-T-', 'RTTT', '--T-', 'UNR-', 'U-N-', 'N-T-', 'S-R-', 'TTRU'] as const;

/** What the rules say, from the letters alone. */
function listOf(mix: string, local: boolean): number[] {
  const places = [0, 1, 2, 3].filter((i) => !local || i < 2);
  const those = (letter: Letter) => places.filter((i) => mix[i] === letter);
  return those('R').length > 0 ? those('R') : those('T');
}

let stage: Stage;
const backends = () => [stage.pod(1, 1), stage.pod(1, 2), stage.pod(2, 1), stage.pod(2, 2)];
const numberOf = (mix: (typeof MIXES)[number], internal: Policy, external: Policy) =>
  10 + MIXES.indexOf(mix) * 4 + POLICIES.indexOf(internal) * 2 + POLICIES.indexOf(external);

function objectsOf(mix: string, name: string, n: number, internal: Policy, external: Policy) {
  const targets = backends().flatMap((pod, i) => {
    const letter = mix[i] as Letter;
    return letter === '-' ? [] : [{ pod, conditions: CONDITIONS[letter] }];
  });
  const policies = { internalTrafficPolicy: internal, externalTrafficPolicy: external };
  return [service(name, n, policies), ...slices(name, targets)];
}

const clientOf = (client: Client): Host =>
  ({
    pod: () => stage.pod(1, 3),
    node: () => stage.node(1),
    outside: () => stage.client(),
    'other node': () => stage.node(2),
  })[client]();

function addressOf(frontend: Frontend, n: number, family: IpFamily): string {
  if (frontend === 'NodePort') return family === 'IPv4' ? stage.node(1).ipv4 : stage.node(1).ipv6;
  const { clusterIp, externalIp, balancerIp } = addressesOf(n);
  return { ClusterIP: clusterIp, ExternalIP: externalIp, LoadBalancer: balancerIp }[frontend][family];
}

/** Who must answer: names in order, or how the client is turned away. */
function wantedOf(mix: string, frontend: Frontend, client: Client, internal: Policy, external: Policy): string {
  const inside = client === 'pod' || client === 'node';
  const local = frontend === 'ClusterIP' ? internal === 'Local' : !inside && external === 'Local';
  const names = listOf(mix, local).map((i) => backends()[i]?.name);
  if (names.length > 0) return names.sort().join(' ');
  return listOf(mix, false).length > 0 ? DROPPED : REFUSED;
}

/** Dials until all were heard that should be, and as often again for those who should not. */
async function hear(want: string, once: () => Promise<string>): Promise<string> {
  const wanted = want.split(' ');
  const heard = new Set<string>();
  for (let i = 0; i < 60 && !(i >= wanted.length * 2 && wanted.every((name) => heard.has(name))); i++) {
    heard.add(await once());
    if (want === DROPPED || want === REFUSED) break;
  }
  return [...heard].sort().join(' ');
}

/** By turns over protocols and families. */
const TURNS: readonly [Protocol, IpFamily][] = [
  ['http', 'IPv4'],
  ['udp', 'IPv6'],
  ['http', 'IPv6'],
  ['udp', 'IPv4'],
];

function tableOf(mix: (typeof MIXES)[number]): Row[] {
  let turn = MIXES.indexOf(mix);
  return POLICIES.flatMap((internal) =>
    POLICIES.flatMap((external) =>
      CLIENTS.flatMap((client) =>
        FRONTENDS.map((frontend) => {
          const n = numberOf(mix, internal, external);
          const [protocol, family] = TURNS[turn++ % TURNS.length] ?? ['http', 'IPv4'];
          const want = wantedOf(mix, frontend, client, internal, external);
          const address = addressOf(frontend, n, family);
          const question = {
            from: clientOf(client),
            protocol,
            address,
            port: portOf(protocol, frontend === 'NodePort', n),
          };
          return {
            name: `${client} → ${frontend}, internal ${internal}, external ${external}, ${protocol} ${family}`,
            want,
            ask: () => hear(want, async () => whoAnswers(await ask(question, want))),
          };
        }),
      ),
    ),
  );
}

beforeAll(async () => {
  stage = await Stage.create({ podsPerNode: 3 });
  await stage.apply(
    MIXES.flatMap((mix) =>
      POLICIES.flatMap((internal) =>
        POLICIES.flatMap((external) => {
          const name = `${mix.replaceAll('-', 'x')}-${internal}-${external}`.toLowerCase();
          return objectsOf(mix, name, numberOf(mix, internal, external), internal, external);
        }),
      ),
    ),
  );
});
afterAll(() => stage?.destroy());

describe.each(['all', 'host-only'] as const)('--socket-lb %s', (socketLb) => {
  beforeAll(() => stage.run({ nodes: [1], socketLb }));

  it.each(
    MIXES,
  )('%s: each client gets its list (R-18, R-19, R-20, R-21, R-28, R-29, R-30, R-42, R-43)', async (mix) => {
    await expectTable(tableOf(mix));
  });

  it('takes a new connection to any backend with the same chance (R-22)', async () => {
    const n = numberOf('RRRR', 'Cluster', 'Cluster');
    const { clusterIp, balancerIp } = addressesOf(n);
    const COUNT = 240;
    const loads = [
      { from: stage.pod(1, 3), address: clusterIp.IPv4 },
      { from: stage.node(1), address: clusterIp.IPv6 },
      { from: stage.client(), address: balancerIp.IPv4 },
    ];
    for (const { from, address } of loads) {
      const load = await from.actor.load({ protocol: 'udp', address, port: 53, count: COUNT, timeoutMs: 10_000 });
      const { who, errors } = await load.finished();
      expect(errors).toEqual({});
      expect(Object.keys(who).sort()).toEqual(
        backends()
          .map(({ name }) => name)
          .sort(),
      );
      // A quarter each; six standard deviations are 40.
      for (const count of Object.values(who)) expect(Math.abs(count - COUNT / 4)).toBeLessThan(40);
    }
  });
});
