/** Which backend a new flow gets where the Service chooses an algorithm: on the real programs, by tc and by XDP. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FRONTEND_CLUSTER_IP } from '../../maps-schema/gen/codecs.ts';
import { choiceFlags } from '../../src/compile/algorithm.ts';
import type { Algorithm } from '../../src/model/algorithm.ts';
import type { Backend, CompiledService } from '../../src/model/compiled.ts';
import { packet } from '../support/packet/builder.ts';
import { CLIENT } from '../support/packet/network.ts';
import { createPacketRig, type PacketRig, WAYS } from '../support/packet/rig.ts';
import { backend, frontend, service } from '../support/packet/services.ts';

const VIP = { 4: '10.96.0.10', 6: 'fd00:10:96::a' } as const;
const OTHER_VIP = { 4: '10.96.0.11', 6: 'fd00:10:96::b' } as const;
const FAMILIES = [4, 6] as const;
let rig: PacketRig;

beforeAll(async () => {
  rig = await createPacketRig({}, 'tc', { backendSlots: 65_536 });
});
afterAll(() => rig?.remove());

const addressOf = (family: 4 | 6, i: number) => (family === 4 ? `10.1.1.${10 + i}` : `fd00:1:1::${10 + i}`);

function pods(family: 4 | 6, weights: readonly number[]): Backend[] {
  return weights.map((weight, i) => ({ ...backend(addressOf(family, i)), ...(weight !== 1 && { weight }) }));
}

function spread(
  family: 4 | 6,
  algorithm: Algorithm,
  cluster: readonly Backend[],
  affinitySeconds = 0,
): CompiledService {
  const flags = FRONTEND_CLUSTER_IP | choiceFlags(algorithm);
  const frontends = [frontend(VIP[family], 80, { flags }), frontend(OTHER_VIP[family], 80, { flags })];
  return service('spread', { frontends, cluster, affinitySeconds, ...(algorithm !== 'random' && { algorithm }) });
}

let port = 0;
const nextPort = () => {
  port = (port % 60_000) + 1;
  return port;
};
const dial = (
  family: 4 | 6,
  { from = CLIENT[family] as string, to = VIP[family] as string, sport = nextPort() } = {},
) => rig.ingress(packet(from, to).tcp(sport, 80).build(), { device: 'node0' }).parsed().destination;

function count(dials: number, one: () => string): Map<string, number> {
  const counts = new Map<string, number>();
  for (let i = 0; i < dials; i++) {
    const to = one();
    counts.set(to, (counts.get(to) ?? 0) + 1);
  }
  return counts;
}

/** Mean k - 1, deviation sqrt(2 (k - 1)): ten deviations are never reached by chance. */
function expectShares(family: 4 | 6, counts: ReadonlyMap<string, number>, weights: readonly number[]): void {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const dials = [...counts.values()].reduce((sum, n) => sum + n, 0);
  let chiSquare = 0;
  weights.forEach((weight, i) => {
    const expected = (dials * weight) / total;
    chiSquare += ((counts.get(addressOf(family, i)) ?? 0) - expected) ** 2 / expected;
  });
  const freedom = weights.length - 1;
  expect(chiSquare).toBeLessThan(freedom + 10 * Math.sqrt(2 * freedom));
}

describe.each(FAMILIES)('IPv%i', (family) => {
  it.each([
    ['wrandom', [1, 1, 1, 1]],
    ['wrandom', [1, 2, 5]],
    ['wrandom', [100, 300, 50, 50]],
    ['mh', [1, 1, 1, 1]],
    ['mh', [1, 2, 5]],
  ] as const)('%s gives backends of weights %j their shares', (algorithm, weights) => {
    rig.serve(spread(family, algorithm, pods(family, weights)));
    expectShares(
      family,
      count(800, () => dial(family)),
      weights,
    );
  });

  it.each([
    ['mh-source', [1, 1, 1, 1]],
    ['mh-source', [1, 3]],
    ['sh', [1, 1, 1, 1]],
    ['sh', [1, 2, 5]],
  ] as const)('%s gives backends of weights %j their shares of clients, and a client one of them', (algorithm, weights) => {
    rig.serve(spread(family, algorithm, pods(family, weights)));
    let client = 0;
    const clientAt = (i: number) =>
      family === 4 ? `198.51.${100 + (i >> 8)}.${i & 255}` : `2001:db8:9::${(i + 1).toString(16)}`;
    expectShares(
      family,
      count(400, () => dial(family, { from: clientAt(++client) })),
      weights,
    );
    expect(count(20, () => dial(family)).size).toBe(1);
  });

  it('dh leads what dials one address to one backend', () => {
    rig.serve(spread(family, 'dh', pods(family, [1, 1, 1, 1, 1, 1, 1])));
    for (const to of [VIP[family], OTHER_VIP[family]]) expect(count(20, () => dial(family, { to })).size).toBe(1);
  });

  it('fo takes the one with the greatest weight, and the next when it leaves', () => {
    const three = pods(family, [1, 7, 3]);
    rig.serve(spread(family, 'fo', three));
    expect([...count(10, () => dial(family)).keys()]).toEqual([addressOf(family, 1)]);
    rig.serve(
      spread(
        family,
        'fo',
        [three[0], three[2]].filter((b) => b !== undefined),
      ),
    );
    expect([...count(10, () => dial(family)).keys()]).toEqual([addressOf(family, 2)]);
  });

  it('rr gives every backend its turn', () => {
    rig.serve(spread(family, 'rr', pods(family, [1, 1, 1, 1, 1])));
    for (let round = 0; round < 4; round++) expect(count(5, () => dial(family)).size).toBe(5);
  });

  it('wrr gives turns by weight, and never many in a row', () => {
    const weights = [1, 2, 5];
    rig.serve(spread(family, 'wrr', pods(family, weights)));
    const row = Array.from({ length: 32 }, () => dial(family));
    weights.forEach((weight, i) => {
      expect(row.filter((to) => to === addressOf(family, i))).toHaveLength(4 * weight);
    });
    const runs = row.join(' ').match(new RegExp(`(${addressOf(family, 2)} ?)+`, 'g')) ?? [];
    expect(Math.max(...runs.map((run) => run.trim().split(' ').length))).toBeLessThanOrEqual(3);
  });

  it.each(['rr', 'wrandom', 'mh'] as const)('session affinity comes before %s', (algorithm) => {
    rig.serve(spread(family, algorithm, pods(family, [1, 2, 3, 4]), 100));
    expect(count(20, () => dial(family)).size).toBe(1);
  });

  it('another algorithm moves no open connection', () => {
    const four = pods(family, [1, 2, 3, 4]);
    rig.serve(spread(family, 'random', four));
    const open = Array.from({ length: 20 }, () => {
      const sport = nextPort();
      return { sport, to: dial(family, { sport }) };
    });
    for (const algorithm of ['rr', 'mh', 'wrr', 'fo', 'dh', 'random'] as const) {
      rig.change(spread(family, algorithm, four));
      for (const { sport, to } of open) {
        const ack = packet(CLIENT[family], VIP[family]).tcp(sport, 80, 'A').build();
        expect(rig.ingress(ack, { device: 'node0' }).parsed().destination).toBe(to);
      }
    }
  });

  it('mh chooses on another node as on this one: its numbers depend on nothing else', async () => {
    const cluster = pods(family, [1, 2, 1, 1, 3, 1, 1]);
    const other = await createPacketRig({}, 'tc', { backendSlots: 65_536 });
    try {
      for (const each of [rig, other]) each.serve(spread(family, 'mh', cluster));
      for (let i = 0; i < 100; i++) {
        const frame = packet(CLIENT[family], VIP[family]).tcp(nextPort(), 80).build();
        const [here, there] = [rig, other].map((each) => each.ingress(frame, { device: 'node0' }).parsed().destination);
        expect(here).toBe(there);
      }
    } finally {
      await other.remove();
    }
  });

  it.each(WAYS)('by %s a turn is taken once', (way) => {
    const cluster = pods(family, [1, 1, 1]);
    rig.serve(spread(family, 'rr', cluster));
    const to = () => {
      const frame = packet(CLIENT[family], VIP[family]).tcp(nextPort(), 80).build();
      return rig.ingress(frame, { device: 'node0', way }).parsed().destination;
    };
    for (let round = 0; round < 4; round++) expect(count(3, to).size).toBe(3);
  });
});
