/** The way to a backend is the kernel's: it knows of ports, classes and several next hops, and a connection keeps its own. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { run } from '../kernel/bpf/rig.ts';
import { packet } from '../support/packet/builder.ts';
import { CLIENT, MACS, NODE } from '../support/packet/network.ts';
import { createPacketRig, type PacketRig, WAYS } from '../support/packet/rig.ts';
import { frontend, remote, service } from '../support/packet/services.ts';

const VIP = { 4: '203.0.113.1', 6: 'fd13::1' } as const;
/** A pod that both neighbours lead to, by a route of this test. */
const BACKEND = { 4: '10.1.7.5', 6: 'fd00:1:7::5' } as const;
const NETWORK = { 4: '10.1.7.0/24', 6: 'fd00:1:7::/64' } as const;
const HOPS = { 4: ['192.0.2.2', '192.0.2.254'], 6: ['2001:db8:1::2', '2001:db8:1::fe'] } as const;
/** Of other routes than the main ones. */
const TABLE = '77';

let rig: PacketRig;
beforeAll(async () => {
  rig = await createPacketRig();
  run('sysctl', '-qw', 'net.ipv4.fib_multipath_hash_policy=1', 'net.ipv6.fib_multipath_hash_policy=1');
});
afterAll(() => rig?.remove());
beforeEach(() =>
  rig.serve(
    ...([4, 6] as const).flatMap((family) =>
      (['TCP', 'UDP'] as const).map((protocol) =>
        service(`${protocol}-${family}`.toLowerCase(), {
          protocol,
          frontends: [frontend(VIP[family], 80)],
          cluster: [remote(BACKEND[family])],
        }),
      ),
    ),
  ),
);

/** As if the next hops had been looked up long ago. */
function forgetHops(): void {
  for (const table of ['flows', 'halfOpenFlows'] as const)
    for (const { key, flow } of rig.flows(table))
      rig.putFlow(table, { key, flow: { ...flow, nexthopStamp: (flow.nexthopStamp - 5_000) >>> 0 } });
}

describe.each([4, 6] as const)('IPv%i', (family) => {
  const ip = (...args: string[]) => run('ip', `-${family}`, ...args);
  const client = CLIENT[family];
  const udp = (sport: number, trafficClass = 0) =>
    packet(client, VIP[family]).trafficClass(trafficClass).udp(sport, 80).payload('odd').build();

  describe('several next hops', () => {
    const [first, second] = HOPS[family];
    beforeAll(() =>
      ip(
        'route',
        'add',
        NETWORK[family],
        'nexthop',
        'via',
        first,
        'dev',
        'node0',
        'nexthop',
        'via',
        second,
        'dev',
        'node0',
      ),
    );
    afterAll(() => ip('route', 'del', NETWORK[family]));

    it.each(WAYS)('connections spread over them, and none moves (%s)', (way) => {
      rig.forgetFlows();
      const ports = Array.from({ length: 24 }, (_, i) => 40_000 + i);
      const hopOf = (sport: number) => rig.ingress(udp(sport), { way }).parsed().dmac;
      const hops = ports.map(hopOf);
      expect(new Set(hops)).toEqual(new Set([MACS.neighbour, MACS.gateway]));
      forgetHops();
      for (const sport of ports) rig.ingress(udp(sport), { way });
      expect(ports.map(hopOf)).toEqual(hops);
    });
  });

  describe('rules', () => {
    const rules = {
      'for a port': [['ipproto', 'udp', 'dport', '8080'], 0],
      'for the source, before source NAT': [['from', client], 0],
      'for a class': [['tos', '0x10'], 0x10],
    } as const;
    beforeAll(() => {
      ip('route', 'add', NETWORK[family], 'via', HOPS[family][0]);
      ip('route', 'add', NETWORK[family], 'via', HOPS[family][1], 'table', TABLE);
    });
    afterAll(() => {
      ip('route', 'del', NETWORK[family]);
      ip('route', 'flush', 'table', TABLE);
    });

    it.each(Object.entries(rules))('%s', (_, [rule, trafficClass]) => {
      const hop = () => rig.ingress(udp(41_000, trafficClass)).parsed().dmac;
      expect(hop()).toBe(MACS.neighbour);
      rig.forgetFlows();
      ip('rule', 'add', ...rule, 'lookup', TABLE);
      try {
        expect(hop()).toBe(MACS.gateway);
        forgetHops();
        rig.ingress(udp(41_000, trafficClass));
        expect(hop()).toBe(MACS.gateway);
      } finally {
        ip('rule', 'del', ...rule, 'lookup', TABLE);
      }
    });

    it('for what the node itself sends', () => {
      const own = packet(NODE[family], VIP[family]).udp(41_000, 80).build();
      ip('rule', 'add', 'iif', 'lo', 'lookup', TABLE);
      try {
        expect(rig.egress(own).parsed().dmac).toBe(MACS.gateway);
        expect(rig.ingress(udp(41_001)).parsed().dmac).toBe(MACS.neighbour);
      } finally {
        ip('rule', 'del', 'iif', 'lo', 'lookup', TABLE);
      }
    });
  });
});
