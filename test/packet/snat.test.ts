/** Source NAT of flows that go through the stack: four entries, two translations in two places (R-35…R-45). */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  FLOW_REPLY,
  FLOW_SNAT,
  FLOW_STAGED,
  FRONTEND_CLUSTER_IP,
  FRONTEND_SNAT_HOST,
  FRONTEND_SNAT_OUTSIDE,
  FRONTEND_SNAT_POD,
} from '../../maps-schema/gen/codecs.ts';
import type { Backend } from '../../src/model/compiled.ts';
import { packet } from '../support/packet/builder.ts';
import { needsRouteMtu } from '../support/packet/kernel.ts';
import {
  BEHIND_BARE,
  BEHIND_NARROW,
  BRIDGE,
  CLIENT,
  NO_ROUTE,
  NODE,
  NOWHERE,
  OTHER_POD,
  POD,
  REMOTE_POD,
} from '../support/packet/network.ts';
import { clear, createPacketRig, type PacketRig } from '../support/packet/rig.ts';
import { backend, frontend, remote, service } from '../support/packet/services.ts';

const VIP = { 4: '10.96.0.10', 6: 'fd00:10:96::a' } as const;
const SECOND = { 4: '10.96.0.11', 6: 'fd00:10:96::b' } as const;
const FAMILIES = [4, 6] as const;
const ALWAYS = FRONTEND_CLUSTER_IP | FRONTEND_SNAT_POD | FRONTEND_SNAT_HOST | FRONTEND_SNAT_OUTSIDE;
let rig: PacketRig;

beforeAll(async () => {
  rig = await createPacketRig();
});
afterAll(() => rig?.remove());

function serve(family: 4 | 6, to: Backend, flags = ALWAYS): void {
  rig.serve(
    ...[VIP, SECOND].map((vip, i) =>
      service(`snat-${i}`, { frontends: [frontend(vip[family], 80, { flags })], cluster: [to] }),
    ),
  );
}

const tcp = (from: string, to: string, sport: number, dport: number, flags = 'S') =>
  packet(from, to).tcp(sport, dport, flags).payload('abc').build();

describe.each(FAMILIES)('IPv%i: a client outside, a backend here', (family) => {
  it('translates the destination, then the source, and both back', () => {
    serve(family, backend(POD[family]));
    const [client, vip, pod, bridge] = [CLIENT[family], VIP[family], POD[family], BRIDGE[family]];
    const inward = rig.ingress(tcp(client, vip, 40000, 80));
    expect(inward).toMatchObject({ verdict: 'NEXT', reasons: ['NEW_FLOW'] });
    expect(inward.tuple()).toBe(`${client} 40000 > ${pod} 8080`);
    const outward = rig.egress(inward.frame, { device: 'pod0' });
    expect(outward).toMatchObject({ verdict: 'NEXT', reasons: ['FORWARDED'] });
    expect(outward.tuple()).toBe(`${bridge} 40000 > ${pod} 8080`);

    const answer = rig.ingress(tcp(pod, bridge, 8080, 40000, 'S.'), { device: 'pod0' });
    expect(answer).toMatchObject({ verdict: 'NEXT', reasons: ['FORWARDED'] });
    expect(answer.tuple()).toBe(`${pod} 8080 > ${client} 40000`);
    const home = rig.egress(answer.frame);
    expect(home).toMatchObject({ verdict: 'NEXT', reasons: ['FORWARDED'] });
    expect(home.tuple()).toBe(`${vip} 80 > ${client} 40000`);
  });

  it('has four entries, which move to the established flows together', () => {
    serve(family, backend(POD[family]));
    const flags = (table: 'flows' | 'halfOpenFlows') => rig.flows(table).map(({ flow }) => flow.flags & 0x25);
    const kinds = [FLOW_STAGED, FLOW_REPLY, FLOW_SNAT, FLOW_REPLY | FLOW_SNAT | FLOW_STAGED];
    const there = (tcpFlags: string) =>
      rig.egress(rig.ingress(tcp(CLIENT[family], VIP[family], 40000, 80, tcpFlags)).frame, { device: 'pod0' });
    there('S');
    expect(flags('halfOpenFlows').sort()).toEqual(kinds.sort());
    rig.egress(rig.ingress(tcp(POD[family], BRIDGE[family], 8080, 40000, 'S.'), { device: 'pod0' }).frame);
    expect(flags('flows')).toEqual([]);
    there('.');
    expect(flags('halfOpenFlows')).toEqual([]);
    expect(flags('flows').sort()).toEqual(kinds.sort());
    expect(there('.').tuple()).toBe(`${BRIDGE[family]} 40000 > ${POD[family]} 8080`);
  });

  it('has every entry to itself when it takes the port of a connection that is long gone', () => {
    serve(family, backend(POD[family]));
    rig.ingress(tcp(CLIENT[family], VIP[family], 40000, 80));
    for (const { key, flow } of rig.flows('halfOpenFlows'))
      rig.putFlow('halfOpenFlows', { key, flow: { ...flow, lastSeen: (flow.lastSeen - 61_000) >>> 0 } });
    rig.ingress(tcp(CLIENT[family], SECOND[family], 40000, 80));
    const entries = rig.flows('halfOpenFlows').filter(({ key }) => key.daddr !== VIP[family]);
    const [own] = entries.filter(({ key }) => key.daddr === SECOND[family]);
    expect(entries).toHaveLength(4);
    for (const { flow } of entries) {
      expect(flow.servicePortId).toBe(own?.flow.servicePortId);
      expect(flow.lastSeen).toBe(own?.flow.lastSeen);
    }
  });

  it('gives the second of two like connections another port on both sides', () => {
    serve(family, backend(POD[family]));
    const through = (client: string, vip: string) => {
      const inward = rig.ingress(tcp(client, vip, 40000, 80));
      return { inward: inward.parsed(), outward: rig.egress(inward.frame, { device: 'pod0' }).parsed() };
    };
    const first = through(CLIENT[family], VIP[family]);
    const second = through(REMOTE_POD[family], VIP[family]);
    const third = through(CLIENT[family], SECOND[family]);
    expect(first.inward.sport).toBe(40000);
    expect(second.inward.sport).toBe(40000);
    expect(third.inward.sport).not.toBe(40000);
    const ports = [first, second, third].map(({ outward }) => outward.sport);
    expect(ports[0]).toBe(40000);
    expect(new Set(ports).size).toBe(3);
    const home = ports.map((port) => {
      const answer = rig.ingress(tcp(POD[family], BRIDGE[family], 8080, port, 'S.'), { device: 'pod0' });
      return rig.egress(answer.frame).tuple();
    });
    expect(home).toEqual([
      `${VIP[family]} 80 > ${CLIENT[family]} 40000`,
      `${VIP[family]} 80 > ${REMOTE_POD[family]} 40000`,
      `${SECOND[family]} 80 > ${CLIENT[family]} 40000`,
    ]);
  });

  it('never takes a port of the NodePort range or below 1024', () => {
    serve(family, backend(POD[family]));
    for (const port of [30000, 31234, 32767, 22, 1023]) {
      const inward = rig.ingress(tcp(CLIENT[family], VIP[family], port, 80));
      expect(inward.parsed().sport).toBe(port);
      expect(rig.egress(inward.frame, { device: 'pod0' }).parsed().sport).toBeGreaterThanOrEqual(32768);
    }
  });
});

describe.each(FAMILIES)('IPv%i: reserved ports', (family) => {
  afterEach(() => rig.maps.reservedPorts.view.fill(0));
  const reserve = (port: number) => {
    const { view, stride } = rig.maps.reservedPorts;
    const at = (port >> 6) * stride;
    view.writeBigUInt64LE(view.readBigUInt64LE(at) | (1n << BigInt(port & 63)), at);
  };
  /** A connection's source port in the client's eyes and in the backend's. */
  const ports = (sport: number, to: Backend) => {
    const inward = rig.ingress(tcp(CLIENT[family], VIP[family], sport, 80));
    expect(inward.reasons).toEqual(['NEW_FLOW']);
    if (!to.local) return [sport, inward.parsed().sport];
    return [inward.parsed().sport, rig.egress(inward.frame, { device: 'pod0' }).parsed().sport];
  };
  const WAYS = [
    ['through the stack', backend(POD[family])],
    ['sent out from the hook', remote(REMOTE_POD[family])],
  ] as const;

  it.each(WAYS)('are not kept, their neighbours are, and nothing collides: %s', (_, to) => {
    serve(family, to);
    clear(rig.maps.snatBackends);
    const reserved = [40_000, 40_063, 40_128, 65_535];
    reserved.forEach(reserve);
    for (const port of reserved) {
      const [inside, outside] = ports(port, to);
      // Towards the backend the client's own address may have any port.
      expect(inside).toBe(port);
      expect(reserved).not.toContain(outside);
    }
    for (const port of [40_001, 40_062, 40_064, 40_127, 40_129, 65_534]) expect(ports(port, to)).toEqual([port, port]);
    expect([...rig.maps.snatBackends.entries()]).toEqual([]);
  });

  it.each(WAYS)('are not chosen at random either, and others are found: %s', (_, to) => {
    serve(family, to);
    for (let port = 1024; port < 65_536; port++) if (port < 41_000 || port >= 45_000) reserve(port);
    for (let sport = 50_000; sport < 50_200; sport++) {
      const [inside, outside = 0] = ports(sport, to);
      expect(inside).toBe(sport);
      expect(outside).toBeGreaterThanOrEqual(41_000);
      expect(outside).toBeLessThan(45_000);
    }
  });
});

describe.each(FAMILIES)('IPv%i: a client in a pod', (family) => {
  it('hairpin: a backend that dials itself sees another address, whatever the policy (R-40)', () => {
    serve(family, backend(POD[family]), FRONTEND_CLUSTER_IP);
    const inward = rig.ingress(tcp(POD[family], VIP[family], 40000, 80), { device: 'pod0' });
    expect(inward.tuple()).toBe(`${POD[family]} 40000 > ${POD[family]} 8080`);
    const outward = rig.egress(inward.frame, { device: 'pod0' });
    expect(outward.tuple()).toBe(`${BRIDGE[family]} 40000 > ${POD[family]} 8080`);
    const answer = rig.ingress(tcp(POD[family], BRIDGE[family], 8080, 40000, 'S.'), { device: 'pod0' });
    expect(rig.egress(answer.frame, { device: 'pod0' }).tuple()).toBe(`${VIP[family]} 80 > ${POD[family]} 40000`);
  });

  it('masqueraded to a backend elsewhere with the address of the device it leaves by (R-45)', () => {
    serve(family, remote(REMOTE_POD[family]));
    const inward = rig.ingress(tcp(OTHER_POD[family], VIP[family], 40000, 80), { device: 'pod0' });
    expect(inward).toMatchObject({ verdict: 'NEXT', reasons: ['NEW_FLOW'] });
    expect(inward.tuple()).toBe(`${OTHER_POD[family]} 40000 > ${REMOTE_POD[family]} 8080`);
    expect(rig.egress(inward.frame).tuple()).toBe(`${NODE[family]} 40000 > ${REMOTE_POD[family]} 8080`);
    const answer = rig.ingress(tcp(REMOTE_POD[family], NODE[family], 8080, 40000, 'S.'));
    expect(answer.tuple()).toBe(`${REMOTE_POD[family]} 8080 > ${OTHER_POD[family]} 40000`);
    const home = rig.egress(answer.frame, { device: 'pod0' });
    expect(home.tuple()).toBe(`${VIP[family]} 80 > ${OTHER_POD[family]} 40000`);
  });

  it('keeps its address where the rules do not ask for source NAT (R-35)', () => {
    serve(family, remote(REMOTE_POD[family]), FRONTEND_CLUSTER_IP | FRONTEND_SNAT_HOST | FRONTEND_SNAT_OUTSIDE);
    const inward = rig.ingress(tcp(OTHER_POD[family], VIP[family], 40000, 80), { device: 'pod0' });
    const outward = rig.egress(inward.frame);
    expect(outward).toMatchObject({ verdict: 'NEXT', reasons: [] });
    expect(outward.tuple()).toBe(`${OTHER_POD[family]} 40000 > ${REMOTE_POD[family]} 8080`);
  });
});

describe.each(FAMILIES)('IPv%i: what stops it', (family) => {
  it.each([
    ['that cannot be reached', NOWHERE],
    ['without a route', NO_ROUTE],
  ])('a backend %s: the stack tells the client, or knows a way', (_, { [family]: address }) => {
    serve(family, remote(address));
    const out = rig.ingress(tcp(CLIENT[family], VIP[family], 40000, 80));
    expect(out).toMatchObject({ verdict: 'NEXT', reasons: ['NEW_FLOW'] });
    expect(out.tuple()).toBe(`${CLIENT[family]} 40000 > ${address} 8080`);
    const left = rig.egress(out.frame, { from: 'node0' });
    expect(left.tuple()).toBe(`${NODE[family]} 40000 > ${address} 8080`);
  });

  it('a next hop that takes less than the device here: the stack breaks datagrams, TCP is told (R-99, R-100)', () => {
    needsRouteMtu();
    const address = BEHIND_NARROW[family];
    const frontends = [frontend(VIP[family], 80, { flags: ALWAYS })];
    const cluster = [remote(address)];
    rig.serve(
      service('segments', { frontends, cluster }),
      service('datagrams', { frontends, cluster, protocol: 'UDP' }),
    );
    expect(rig.ingress(tcp(CLIENT[family], VIP[family], 40000, 80))).toMatchObject({ verdict: 'REDIRECT' });
    const out = rig.ingress(packet(CLIENT[family], VIP[family]).udp(40000, 80).payload('abc').build());
    expect(out).toMatchObject({ verdict: 'NEXT', reasons: ['NEW_FLOW'] });
    expect(out.tuple()).toBe(`${CLIENT[family]} 40000 > ${address} 8080`);
    const left = rig.egress(out.frame, { from: 'node0' });
    expect(left.tuple()).toBe(`${NODE[family]} 40000 > ${address} 8080`);
  });

  it('a device without an address to take', () => {
    serve(family, backend(BEHIND_BARE[family]));
    const out = rig.ingress(tcp(CLIENT[family], VIP[family], 40000, 80));
    expect(out).toMatchObject({ verdict: 'DROP', reasons: ['DROP_NO_SNAT_ADDRESS'] });
    expect(rig.flows('halfOpenFlows')).toEqual([]);
  });

  it('a backend that is the node itself: delivered without source NAT', () => {
    serve(family, backend(NODE[family]));
    const out = rig.ingress(tcp(CLIENT[family], VIP[family], 40000, 80));
    expect(out).toMatchObject({ verdict: 'NEXT', reasons: ['NEW_FLOW'] });
    expect(rig.flows('halfOpenFlows')).toHaveLength(2);
  });
});
