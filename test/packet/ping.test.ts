/** Pings to an address that is a Service's alone are answered while the Service has a backend (beyond R-97). */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FRONTEND_EXTERNAL_IP, FRONTEND_LOAD_BALANCER } from '../../maps-schema/gen/codecs.ts';
import { packet } from '../support/packet/builder.ts';
import { CLIENT, MACS, NODE, POD, REMOTE_POD } from '../support/packet/network.ts';
import { createPacketRig, type PacketRig } from '../support/packet/rig.ts';
import { backend, frontend, remote, service } from '../support/packet/services.ts';

const VIP = { 4: '10.96.0.10', 6: 'fd00:10:96::a' } as const;
const BALANCER = { 4: '203.0.113.1', 6: 'fd13::1' } as const;
const EXTERNAL = { 4: '198.51.100.77', 6: 'fd15::77' } as const;
/** Load-balancer addresses that hosts have: this node, a neighbour that is there, one that is not, a node elsewhere. */
const HOSTS = {
  own: NODE,
  neighbour: { 4: '192.0.2.2', 6: '2001:db8:1::2' },
  dead: { 4: '192.0.2.3', 6: '2001:db8:1::3' },
  peer: { 4: '198.18.0.3', 6: 'fd18::3' },
} as const;
const EMPTY = { 4: '10.96.0.11', 6: 'fd00:10:96::b' } as const;
const FAMILIES = [4, 6] as const;
let rig: PacketRig;

beforeAll(async () => {
  rig = await createPacketRig();
});
beforeEach(() =>
  rig.serve(
    ...FAMILIES.flatMap((family) => [
      service(`here-${family}`, {
        frontends: [
          frontend(VIP[family], 80),
          frontend(BALANCER[family], 80, { flags: FRONTEND_LOAD_BALANCER }),
          frontend(EXTERNAL[family], 80, { flags: FRONTEND_EXTERNAL_IP }),
          ...Object.values(HOSTS).map((host) => frontend(host[family], 80, { flags: FRONTEND_LOAD_BALANCER })),
        ],
        cluster: [remote(REMOTE_POD[family])],
      }),
      service(`empty-${family}`, { frontends: [frontend(EMPTY[family], 80)] }),
    ]),
  ),
);
afterAll(() => rig?.remove());

describe.each(FAMILIES)('IPv%i (R-97)', (family) => {
  const clients = [
    ['outside', CLIENT[family], 'ingress', 'node0'],
    ['a pod', POD[family], 'ingress', 'pod0'],
    ['the node itself', NODE[family], 'egress', 'node0'],
  ] as const;

  describe.each(clients)('from %s', (_, client, hook, device) => {
    it.each([
      ['cluster IP', VIP],
      ['load balancer', BALANCER],
    ] as const)('to a %s: the same bytes come back', (_, address) => {
      for (const [i, payload] of ['', 'x', 'a ping of an odd length', 'y'.repeat(1400)].entries()) {
        for (const summed of [false, true]) {
          const sent = packet(client, address[family])
            .macs(MACS.gateway, MACS.node)
            .ttl(3)
            .ping(0x4242 + i)
            .payload(payload)
            .build();
          const out = rig[hook](Buffer.from(sent), { device, summed });
          expect(out).toMatchObject({ verdict: 'REDIRECT', reasons: ['PING_ANSWERED'] });
          const answer = out.parsed();
          expect(answer).toMatchObject({ source: address[family], destination: client, ttl: 64 });
          expect([answer.smac, answer.dmac]).toEqual([MACS.node, MACS.gateway]);
          expect([answer.l4[0], answer.l4[1]]).toEqual([family === 4 ? 0 : 129, 0]);
          // Identifier, sequence number and payload.
          expect(answer.l4.subarray(4).equals(sent.subarray((family === 4 ? 34 : 54) + 4))).toBe(true);
          expect(answer.l4.readUInt16BE(4)).toBe(0x4242 + i);
        }
      }
      expect(rig.flows('halfOpenFlows')).toEqual([]);
    });

    const expectUntouched = (address: string) => {
      const sent = packet(client, address).ping().build();
      const out = rig[hook](Buffer.from(sent), { device });
      expect({ address, ...out }).toMatchObject({ address, verdict: 'NEXT', reasons: [] });
      expect(out.frame.equals(sent)).toBe(true);
    };

    it('not to an address whose Service has no backend', () => expectUntouched(EMPTY[family]));

    it('not to an external IP: it may be any host', () => expectUntouched(EXTERNAL[family]));

    it('not to a load-balancer address of this node, or of another that is known', () => {
      expectUntouched(HOSTS.own[family]);
      rig.tables.applyNodeTables({ ...rig.node, peers: [HOSTS.peer[family]] });
      expectUntouched(HOSTS.peer[family]);
      rig.tables.applyNodeTables({ ...rig.node, peers: [] });
      expect(rig[hook](packet(client, HOSTS.peer[family]).ping().build(), { device }).reasons).toEqual([
        'PING_ANSWERED',
      ]);
    });
  });

  it('not to a load-balancer address of a neighbour, there or not, unless it is announced here', () => {
    for (const address of [HOSTS.neighbour[family], HOSTS.dead[family]]) {
      const ping = (hook: 'ingress' | 'egress', client: string, device: 'node0' | 'pod0') =>
        rig[hook](packet(client, address).ping().build(), { device }).reasons;
      expect(ping('ingress', POD[family], 'pod0')).toEqual([]);
      expect(ping('egress', NODE[family], 'node0')).toEqual([]);
      expect(ping('egress', POD[family], 'node0')).toEqual([]);
      expect(ping('ingress', CLIENT[family], 'node0')).toEqual(['PING_ANSWERED']);
    }
  });

  it('begins and ends with the backend', () => {
    const ping = () => rig.ingress(packet(CLIENT[family], EMPTY[family]).ping().build()).reasons;
    const change = (...cluster: ReturnType<typeof backend>[]) =>
      rig.change(service(`empty-${family}`, { frontends: [frontend(EMPTY[family], 80)], cluster }));
    expect(ping()).toEqual([]);
    change(backend(POD[family]));
    expect(ping()).toEqual(['PING_ANSWERED']);
    change();
    expect(ping()).toEqual([]);
  });
});
