/** Which backend a new flow gets: any with the same chance, unless the client has one already. */
import { uptime } from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encode } from '../../maps-schema/codec.ts';
import { affinity, affinityKey, affinityMember } from '../../maps-schema/gen/codecs.ts';
import type { Backend } from '../../src/model/compiled.ts';
import { packet } from '../support/packet/builder.ts';
import { CLIENT, type DeviceName, OTHER_POD } from '../support/packet/network.ts';
import { clear, createPacketRig, type PacketRig } from '../support/packet/rig.ts';
import { backend, frontend, type PortSpec, service } from '../support/packet/services.ts';

const VIP = { 4: '10.96.0.10', 6: 'fd00:10:96::a' } as const;
const LB = { 4: '203.0.113.1', 6: '2001:db8:7::1' } as const;
const FAMILIES = [4, 6] as const;
/** Nothing can be older than the kernel has been up, which in a guest is not long. */
const AFFINITY_SECONDS = Math.min(100, Math.floor(uptime() / 2));
let rig: PacketRig;

beforeAll(async () => {
  rig = await createPacketRig();
});
afterAll(() => rig?.remove());

const pods = (family: 4 | 6, count: number, from = 10): Backend[] =>
  [...Array(count).keys()].map((i) => backend(family === 4 ? `10.1.1.${from + i}` : `fd00:1:1::${from + i}`));

let port = 0;
/** Opens a connection from a port not used before. @returns the backend's address. */
function dial(from: string, to: string, { dport = 80, device = 'node0' as DeviceName } = {}): string {
  port = (port % 60000) + 1;
  return rig.ingress(packet(from, to).tcp(port, dport).build(), { device }).parsed().destination;
}

function spread(dials: number, dialOne: () => string): Map<string, number> {
  const counts = new Map<string, number>();
  for (let i = 0; i < dials; i++) {
    const to = dialOne();
    counts.set(to, (counts.get(to) ?? 0) + 1);
  }
  return counts;
}

describe.each(FAMILIES)('IPv%i: without affinity', (family) => {
  it.each([1, 2, 3, 7, 16])('%i backends get the same share (R-22)', (count) => {
    rig.serve(service('spread', { frontends: [frontend(VIP[family], 80)], cluster: pods(family, count) }));
    const dials = 150 * count;
    const counts = spread(dials, () => dial(CLIENT[family], VIP[family]));
    expect(counts.size).toBe(count);
    const expected = dials / count;
    const chiSquare = [...counts.values()].reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0);
    // Mean count - 1, deviation sqrt(2 (count - 1)): ten deviations are never reached by chance.
    expect(chiSquare).toBeLessThan(count - 1 + 10 * Math.sqrt(2 * (count - 1)) + 0.001);
  });
});

describe.each(FAMILIES)('IPv%i: ClientIP affinity', (family) => {
  const serve = (spec: Partial<PortSpec> = {}) => {
    const frontends = [frontend(VIP[family], 80), frontend(LB[family], 80)];
    const sticky = { affinitySeconds: AFFINITY_SECONDS, cluster: pods(family, 12), ...spec };
    return [
      service('sticky', { frontends, ...sticky }),
      service('other', { frontends: [frontend(VIP[family], 81)], ...sticky }),
    ];
  };
  const different = (dialOne: () => string) => spread(60, dialOne).size > 1;

  it('leads a client to one backend, by all frontends of the port (R-47)', () => {
    rig.serve(...serve());
    const first = dial(CLIENT[family], VIP[family]);
    for (let i = 0; i < 20; i++) {
      expect(dial(CLIENT[family], VIP[family])).toBe(first);
      expect(dial(CLIENT[family], LB[family])).toBe(first);
    }
  });

  it('is of each client and of each port alone', () => {
    rig.serve(...serve());
    dial(CLIENT[family], VIP[family]);
    let client = 0;
    expect(
      different(() => dial(family === 4 ? `198.51.100.${++client}` : `2001:db8:9::${++client}`, VIP[family])),
    ).toBe(true);
    const sameOnBothPorts = spread(60, () => {
      clear(rig.maps.affinities);
      const first = dial(CLIENT[family], VIP[family]);
      return `${first === dial(CLIENT[family], VIP[family], { dport: 81 })}`;
    });
    expect(sameOnBothPorts.get('false')).toBeGreaterThan(0);
  });

  it('goes on while new connections renew it, then chooses at random again (R-46, R-49)', () => {
    rig.serve(...serve());
    const first = dial(CLIENT[family], VIP[family]);
    const row = () => {
      const [entry] = [...rig.maps.affinities.entries()];
      if (entry === undefined) throw new Error('no affinity');
      return { key: entry.key, value: affinity.read(entry.value, 0) };
    };
    const age = (seconds: number) => {
      const { key, value } = row();
      const buffer = Buffer.alloc(affinity.size);
      affinity.write(buffer, 0, { ...value, lastNew: value.lastNew - BigInt(seconds) * 1_000_000_000n });
      rig.maps.affinities.update(key, buffer);
    };
    expect(affinityKey.read(row().key, 0).client).toBe(CLIENT[family]);
    for (let i = 0; i < 3; i++) {
      const before = row().value.lastNew;
      age(Math.floor(AFFINITY_SECONDS * 0.9));
      expect(dial(CLIENT[family], VIP[family])).toBe(first);
      expect(row().value.lastNew).toBeGreaterThan(before);
    }
    expect(
      different(() => {
        age(AFFINITY_SECONDS + 1);
        return dial(CLIENT[family], VIP[family]);
      }),
    ).toBe(true);
  });

  it('follows timeoutSeconds of now (R-52), and whether it is on (R-50)', () => {
    rig.serve(...serve());
    const first = dial(CLIENT[family], VIP[family]);
    rig.change(...serve({ affinitySeconds: 86400 }));
    expect(dial(CLIENT[family], VIP[family])).toBe(first);
    rig.change(...serve({ affinitySeconds: 0 }));
    expect(different(() => dial(CLIENT[family], VIP[family]))).toBe(true);
    rig.change(...serve());
    expect(spread(20, () => dial(CLIENT[family], VIP[family])).size).toBe(1);
  });

  it('chooses another backend when its own is in the list no more (R-48)', () => {
    rig.serve(...serve());
    const first = dial(CLIENT[family], VIP[family]);
    const left = pods(family, 12).filter(({ address }) => address !== first);
    rig.change(...serve({ cluster: left }));
    const second = dial(CLIENT[family], VIP[family]);
    expect(second).not.toBe(first);
    expect(spread(20, () => dial(CLIENT[family], VIP[family]))).toEqual(new Map([[second, 20]]));
    rig.change(...serve({ cluster: [...left].reverse() }));
    expect(dial(CLIENT[family], VIP[family])).toBe(second);
  });

  it('trusts no place beyond the end of the list', () => {
    rig.serve(...serve({ cluster: pods(family, 1) }));
    const first = dial(CLIENT[family], VIP[family]);
    for (const { key, value } of [...rig.maps.affinityMembers.entries()]) {
      const { offset } = affinityMember.read(value, 0);
      rig.maps.affinityMembers.update(key, encode(affinityMember, { offset: offset + 1000 }));
    }
    expect(dial(CLIENT[family], VIP[family])).toBe(first);
    rig.serve();
  });

  it('applies only to the list in force for the packet (R-48)', () => {
    const local = pods(family, 12, 100);
    const frontends = [frontend(VIP[family], 80), frontend(LB[family], 80, { external: 'local' })];
    rig.serve(service('lists', { frontends, affinitySeconds: 100, cluster: pods(family, 12), local }));
    const first = dial(CLIENT[family], VIP[family]);
    const outside = dial(CLIENT[family], LB[family]);
    expect(local.map(({ address }) => address)).toContain(outside);
    expect(local.map(({ address }) => address)).not.toContain(first);
    expect(dial(CLIENT[family], LB[family])).toBe(outside);
  });

  it('knows the client by its address before source NAT (R-51)', () => {
    rig.serve(...serve());
    dial(OTHER_POD[family], VIP[family], { device: 'pod0' });
    const clients = [...rig.maps.affinities.entries()].map(({ key }) => affinityKey.read(key, 0).client);
    expect(clients).toEqual([OTHER_POD[family]]);
  });
});
