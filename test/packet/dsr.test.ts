/** Direct server return, bytes of both encapsulations: what the node that is reached sends, and what the backend's node makes of it. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { encode } from '../../maps-schema/codec.ts';
import {
  DSR_ENCAPSULATION_GENEVE,
  DSR_ENCAPSULATION_IPIP,
  FLOW_DSR,
  FLOW_REDIRECT,
  FRONTEND_DSR,
  FRONTEND_LOAD_BALANCER,
  FRONTEND_SNAT_HOST,
  FRONTEND_SNAT_OUTSIDE,
  FRONTEND_SNAT_POD,
  nodeAddressKey,
} from '../../maps-schema/gen/codecs.ts';
import { icmpError, type PacketBuilder, packet } from '../support/packet/builder.ts';
import { CLIENT, MACS, NODE, OTHER_POD, POD, REMOTE_POD } from '../support/packet/network.ts';
import { parsePacket, tupleText } from '../support/packet/parser.ts';
import { clear, createPacketRig, type PacketRig } from '../support/packet/rig.ts';
import { backend, frontend, remote, service } from '../support/packet/services.ts';
import { type Encapsulation, GENEVE_PORT, geneveHeader, OVERHEAD, unwrap, wrap } from '../support/packet/tunnel.ts';

/** The backend's node, which is also the next hop to it. */
const PEER = { 4: '192.0.2.2', 6: '2001:db8:1::2' } as const;
/** A router on the way there. */
const ROUTER = { 4: '192.0.2.254', 6: '2001:db8:1::fe' } as const;
const FAR = { 4: '203.0.113.1', 6: 'fd13::1' } as const;
const NEAR = { 4: '203.0.113.2', 6: 'fd13::2' } as const;
const ALSO_NEAR = { 4: '203.0.113.3', 6: 'fd13::3' } as const;
const ANY = { 4: '0.0.0.0', 6: '::' } as const;
const FAMILIES = [4, 6] as const;
const PROTOCOLS = ['tcp', 'udp'] as const;
type Protocol = (typeof PROTOCOLS)[number];
const FLAGS = FRONTEND_LOAD_BALANCER | FRONTEND_DSR | FRONTEND_SNAT_POD | FRONTEND_SNAT_HOST | FRONTEND_SNAT_OUTSIDE;
const ENCAPSULATIONS = { ipip: DSR_ENCAPSULATION_IPIP, geneve: DSR_ENCAPSULATION_GENEVE } as const;

const segment = (protocol: Protocol, from: string, to: string, sport: number, dport: number, flags = 'S') =>
  protocol === 'tcp' ? packet(from, to).tcp(sport, dport, flags) : packet(from, to).udp(sport, dport);

describe.each(Object.keys(ENCAPSULATIONS) as Encapsulation[])('%s', (encapsulation) => {
  let rig: PacketRig;
  beforeAll(async () => {
    rig = await createPacketRig({
      dsrEncapsulation: ENCAPSULATIONS[encapsulation],
      genevePort: GENEVE_PORT,
      geneveVni: 5,
      nodeAddress4: NODE[4],
      nodeAddress6: NODE[6],
    });
    for (const family of FAMILIES)
      rig.maps.peers.update(encode(nodeAddressKey, { address: PEER[family] }), Buffer.alloc(4));
  });
  afterAll(() => rig?.remove());
  beforeEach(() => {
    clear(rig.maps.peers);
    for (const family of FAMILIES)
      rig.maps.peers.update(encode(nodeAddressKey, { address: PEER[family] }), Buffer.alloc(4));
    rig.serve(
      ...FAMILIES.flatMap((family) =>
        PROTOCOLS.flatMap((proto) => {
          const protocol = proto.toUpperCase() as 'TCP' | 'UDP';
          const at = (address: string, port = 80) => frontend(address, port, { flags: FLAGS });
          const far = { address: REMOTE_POD[family], port: 8080, local: false, node: PEER[family] };
          const near = { address: POD[family], port: 8080, local: true, node: NODE[family] };
          return [
            service(`far-${proto}-${family}`, {
              protocol,
              frontends: [at(FAR[family])],
              cluster: [remote(REMOTE_POD[family])],
              directBackends: [far],
            }),
            service(`near-${proto}-${family}`, {
              protocol,
              frontends: [at(NEAR[family]), at(ALSO_NEAR[family]), at(ANY[family], 30080)],
              cluster: [backend(POD[family])],
              directBackends: [near],
            }),
          ];
        }),
      ),
    );
  });

  describe.each(
    FAMILIES.flatMap((family) => PROTOCOLS.map((protocol) => ({ family, protocol }))),
  )('IPv$family, $protocol', ({ family, protocol }) => {
    const there = (flags = 'S') => segment(protocol, CLIENT[family], FAR[family], 40_000, 80, flags).payload('hello');
    const target = encapsulation === 'ipip' ? REMOTE_POD[family] : PEER[family];
    const inside =
      encapsulation === 'ipip'
        ? `${CLIENT[family]} 40000 > ${FAR[family]} 80`
        : `${CLIENT[family]} 40000 > ${REMOTE_POD[family]} 8080`;

    it.each([false, true])('the client’s packet travels in another one (summed by the device: %s)', (summed) => {
      const { verdict, frame, reasons } = rig.ingress(there().build(), { summed });
      expect({ verdict, reasons }).toEqual({ verdict: 'REDIRECT', reasons: ['NEW_FLOW'] });
      const { outer, inner, header } = unwrap(frame, encapsulation);
      expect([outer.source, outer.destination, outer.ttl]).toEqual([NODE[family], target, 64]);
      expect([tupleText(inner), inner.ttl, inner.l4.subarray(-5).toString()]).toEqual([inside, 63, 'hello']);
      expect([frame.subarray(0, 6).toString('hex'), frame.subarray(6, 12).toString('hex')]).toEqual(
        [MACS.neighbour, MACS.node].map((mac) => mac.replaceAll(':', '')),
      );
      if (encapsulation === 'ipip') return;
      expect(outer.dport).toBe(GENEVE_PORT);
      expect(header).toEqual(geneveHeader(family, FAR[family], 80));
    });

    it('has one entry, established when the client goes on: its answers do not come by here', () => {
      rig.ingress(there('S').build());
      rig.ingress(there('S').build());
      expect(rig.flows('halfOpenFlows').length + rig.flows('flows').length).toBe(1);
      // A second SYN is no sign of an answer; a second datagram has to be.
      expect(rig.flows('flows')).toHaveLength(protocol === 'tcp' ? 0 : 1);
      const { reasons } = rig.ingress(there('.').build());
      expect(reasons).toEqual(['ENCAPSULATED']);
      expect(rig.flows('flows').map(({ flow }) => flow.flags & (FLOW_DSR | FLOW_REDIRECT))).toEqual([
        FLOW_DSR | FLOW_REDIRECT,
      ]);
      expect(rig.flows('halfOpenFlows')).toEqual([]);
    });

    it('a longer packet than fits is answered with the MTU that is left', () => {
      const room = 1500 - OVERHEAD[encapsulation][family];
      const headers = (family === 4 ? 20 : 40) + (protocol === 'tcp' ? 20 : 8);
      const of = (bytes: number) =>
        segment(protocol, CLIENT[family], FAR[family], 40_001, 80, 'S')
          .payload(Buffer.alloc(bytes - headers))
          .build();
      expect(rig.ingress(of(room)).reasons).toEqual(['NEW_FLOW']);
      const answer = rig.ingress(of(room + 1));
      expect([answer.verdict, ...answer.reasons]).toEqual(['REDIRECT', 'TOO_BIG']);
      const { source, destination, l4 } = answer.parsed();
      expect([source, destination]).toEqual([FAR[family], CLIENT[family]]);
      expect([l4[0], l4[1], l4.readUInt32BE(4)]).toEqual(family === 4 ? [3, 4, room] : [2, 0, room]);
      expect(tupleText(parsePacket(l4.subarray(8), false))).toBe(`${CLIENT[family]} 40001 > ${FAR[family]} 80`);
    });

    it('a router on the way that takes less is translated for the client', () => {
      const sent = rig.ingress(there('S').build()).frame;
      const error = icmpError(ROUTER[family], NODE[family], sent, { kind: 'too big', mtu: 1400 }).build();
      const answer = rig.ingress(error);
      expect([answer.verdict, ...answer.reasons]).toEqual(['REDIRECT', 'ICMP_ERROR']);
      const { source, destination, l4 } = answer.parsed();
      const room = 1400 - OVERHEAD[encapsulation][family];
      expect([source, destination, l4.readUInt32BE(4)]).toEqual([FAR[family], CLIENT[family], room]);
      const quoted = parsePacket(l4.subarray(8), false);
      expect([tupleText(quoted), quoted.wrong]).toEqual([`${CLIENT[family]} 40000 > ${FAR[family]} 80`, []]);
      // Until the next hop is looked up again, longer ones are answered here.
      const longer = segment(protocol, CLIENT[family], FAR[family], 40_000, 80, '.')
        .payload(Buffer.alloc(1390))
        .build();
      expect(rig.ingress(longer).reasons).toEqual(['TOO_BIG']);
    });

    it('a router that takes less than any may is not believed', () => {
      const sent = rig.ingress(there('S').build()).frame;
      const least = family === 4 ? 552 : 1280;
      const tell = (mtu: number) =>
        rig.ingress(icmpError(ROUTER[family], NODE[family], sent, { kind: 'too big', mtu }).build()).verdict;
      for (const mtu of [0, 68, least - 1]) expect(tell(mtu)).toBe('NEXT');
      const longer = segment(protocol, CLIENT[family], FAR[family], 40_000, 80, '.').payload(Buffer.alloc(1000));
      expect(rig.ingress(longer.build()).reasons).toEqual(['ENCAPSULATED']);
      expect(tell(least)).toBe('REDIRECT');
    });

    it('an error about an answer goes where the answer came from', () => {
      rig.ingress(there().build());
      const answer = segment(protocol, FAR[family], CLIENT[family], 80, 40_000, '.').payload('answer').build();
      const { verdict, frame } = rig.ingress(
        icmpError(ROUTER[family], FAR[family], answer, { kind: 'too big' }).build(),
      );
      expect(verdict).toBe('REDIRECT');
      const { outer, inner } = unwrap(frame, encapsulation);
      expect([outer.destination, inner.source, inner.destination]).toEqual([target, ROUTER[family], FAR[family]]);
    });

    it('clients inside the cluster, and other nodes, are source-NATed', () => {
      const pod = family === 4 ? '10.1.7.7' : 'fd00:1:7::7';
      for (const from of [pod, PEER[family]]) {
        const { frame } = rig.ingress(segment(protocol, from, FAR[family], 40_000, 80).build());
        const { source, destination } = parsePacket(frame.subarray(14));
        expect([source, destination]).toEqual([NODE[family], REMOTE_POD[family]]);
      }
    });

    describe('arriving at the backend’s node', () => {
      const dialled = (at: string, port: number) =>
        encapsulation === 'geneve' ? { dialled: [at, port] as const } : {};
      /** What a peer sends for a client that dialled `at`. */
      const arriving = (
        build: (source: string, destination: string, dport: number) => PacketBuilder,
        {
          at = NEAR[family] as string,
          port = 80,
          from = PEER[family] as string,
          to = POD[family] as string,
          trafficClass = 0,
        } = {},
      ) =>
        wrap((encapsulation === 'geneve' ? build(CLIENT[family], to, 8080) : build(CLIENT[family], at, port)).build(), {
          family,
          from,
          to: encapsulation === 'geneve' ? NODE[family] : to,
          ...dialled(at, port),
          trafficClass,
        });
      const syn =
        (sport = 40_000, flags = 'S') =>
        (source: string, destination: string, dport: number) =>
          segment(protocol, source, destination, sport, dport, flags).payload('hello');

      it.each([
        false,
        true,
      ])('it goes up the stack to the backend, and the answer leaves directly (summed: %s)', (summed) => {
        const first = rig.ingress(arriving(syn()), { summed });
        expect([first.verdict, first.tuple(), ...first.reasons]).toEqual([
          'NEXT',
          `${CLIENT[family]} 40000 > ${POD[family]} 8080`,
          'NEW_FLOW',
        ]);
        const answer = segment(protocol, POD[family], CLIENT[family], 8080, 40_000, 'S.').build();
        expect(rig.egress(answer, { from: 'pod0' }).tuple()).toBe(`${NEAR[family]} 80 > ${CLIENT[family]} 40000`);
        const next = rig.ingress(arriving(syn(40_000, '.')));
        expect([next.tuple(), ...next.reasons]).toEqual([
          `${CLIENT[family]} 40000 > ${POD[family]} 8080`,
          'DECAPSULATED',
        ]);
        expect(rig.flows('flows')).toHaveLength(2);
      });

      it('a NodePort is one of the peer’s address', () => {
        const { verdict } = rig.ingress(arriving(syn(), { at: PEER[family], port: 30_080 }));
        expect(verdict).toBe('NEXT');
        const answer = segment(protocol, POD[family], CLIENT[family], 8080, 40_000, 'S.').build();
        expect(rig.egress(answer, { from: 'pod0' }).tuple()).toBe(`${PEER[family]} 30080 > ${CLIENT[family]} 40000`);
      });

      it('two frontends and one client port: another port stands in for it', () => {
        rig.ingress(arriving(syn()));
        const second = rig.ingress(arriving(syn(), { at: ALSO_NEAR[family] })).parsed();
        expect([second.source, second.destination, second.dport]).toEqual([CLIENT[family], POD[family], 8080]);
        expect(second.sport).not.toBe(40_000);
        const answer = segment(protocol, POD[family], CLIENT[family], 8080, second.sport, 'S.').build();
        expect(rig.egress(answer, { from: 'pod0' }).tuple()).toBe(`${ALSO_NEAR[family]} 80 > ${CLIENT[family]} 40000`);
        const again = rig.ingress(arriving(syn(40_000, '.'), { at: ALSO_NEAR[family] })).parsed();
        expect(again.sport).toBe(second.sport);
      });

      it('errors about answers reach the backend', () => {
        rig.ingress(arriving(syn()));
        const answer = segment(protocol, NEAR[family], CLIENT[family], 80, 40_000, '.').payload('answer').build();
        const error = icmpError(ROUTER[family], NEAR[family], answer, { kind: 'too big' }).build();
        const to = encapsulation === 'geneve' ? NODE[family] : POD[family];
        const outcome = rig.ingress(wrap(error, { family, from: PEER[family], to, ...dialled(NEAR[family], 80) }));
        const { destination, l4 } = outcome.parsed();
        expect([outcome.verdict, destination]).toEqual(['NEXT', POD[family]]);
        expect(tupleText(parsePacket(l4.subarray(8), false))).toBe(`${POD[family]} 8080 > ${CLIENT[family]} 40000`);
      });

      it.each([false, true])('takes over what routers said outside (RFC 6040; summed: %s)', (summed) => {
        // Outside, inside, and what it becomes: 1 is ECT(1), 2 ECT(0), 3 CE.
        for (const [outside, within, becomes] of [
          [0, 0, 0],
          [2, 2, 2],
          [1, 2, 1],
          [2, 1, 1],
          [3, 2, 3],
          [3, 1, 3],
          [0, 3, 3],
          [3, 0, undefined],
        ] as const) {
          const build = (...where: Parameters<ReturnType<typeof syn>>) => syn()(...where).trafficClass(0xb8 | within);
          const out = rig.ingress(arriving(build, { trafficClass: outside }), { summed });
          const found = [out.verdict, becomes === undefined ? out.reasons : out.parsed().trafficClass];
          expect(found).toEqual(becomes === undefined ? ['DROP', ['DROP_CONGESTED']] : ['NEXT', 0xb8 | becomes]);
        }
      });

      it('only peers are believed', () => {
        const frame = arriving(syn(), { from: family === 4 ? '192.0.2.99' : '2001:db8:1::99' });
        const outcome = rig.ingress(frame);
        expect([outcome.verdict, outcome.frame.equals(frame), outcome.reasons]).toEqual(['NEXT', true, []]);
      });

      it('a pod is not believed to be one, nor is what is for another node ours', () => {
        const inPod = arriving(syn());
        // IP in IP goes to the backend itself: one of another node is no backend here.
        const third = wrap(
          encapsulation === 'geneve'
            ? syn()(CLIENT[family], POD[family], 8080).build()
            : syn()(CLIENT[family], NEAR[family], 80).build(),
          {
            family,
            from: PEER[family],
            to: encapsulation === 'geneve' ? ROUTER[family] : REMOTE_POD[family],
            ...dialled(NEAR[family], 80),
          },
        );
        for (const [frame, device] of [
          [inPod, 'pod0'],
          [inPod, 'strange'],
          [third, 'node0'],
        ] as const) {
          const outcome = rig.ingress(frame, { device });
          expect([outcome.verdict, outcome.frame.equals(frame), outcome.reasons]).toEqual(['NEXT', true, []]);
        }
        expect(rig.flows('halfOpenFlows')).toEqual([]);
      });

      it('nor is a peer about a source that nobody can have (R-106)', () => {
        for (const from of family === 4 ? ['127.0.0.1', '0.0.0.0', NODE[4]] : ['::1', 'ff02::1', NODE[6]]) {
          const forged = (_: string, destination: string, dport: number) => syn()(from, destination, dport);
          expect(rig.ingress(arriving(forged))).toMatchObject({ verdict: 'DROP', reasons: ['DROP_SOURCE'] });
        }
      });

      it('other tunnels between the nodes are left alone', () => {
        const pods = segment(protocol, REMOTE_POD[family], POD[family], 1234, 8080).build();
        const around = { family, from: PEER[family], to: NODE[family] };
        const frames = [
          wrap(pods, around),
          wrap(segment(protocol, CLIENT[family], NEAR[family], 40_000, 80).build(), around),
          ...[{ class: 0x0102 }, { type: 0x82 }].map((geneve) =>
            wrap(pods, { ...around, dialled: [NEAR[family], 80], geneve }),
          ),
        ];
        for (const frame of frames) {
          const outcome = rig.ingress(frame);
          expect([outcome.verdict, outcome.frame.equals(frame), outcome.reasons]).toEqual(['NEXT', true, []]);
        }
        expect(rig.flows('halfOpenFlows')).toEqual([]);
      });

      it('what is for a pod that is no backend goes nowhere', () => {
        const frame = arriving(syn(), { to: OTHER_POD[family] });
        const outcome = rig.ingress(frame);
        // IP in IP says too little to know that it is ours.
        if (encapsulation === 'ipip') expect(outcome.frame.equals(frame)).toBe(true);
        else expect([outcome.verdict, ...outcome.reasons]).toEqual(['DROP', 'DROP_NOT_BACKEND']);
      });
    });
  });

  it.each(FAMILIES)('pieces of a datagram follow the first, IPv%i (R-99)', (family) => {
    if (family === 6) return;
    const piece = (offset: number, more: boolean) => {
      const builder = packet(CLIENT[4], FAR[4]).identification(77).fragment(offset, more);
      return offset === 0
        ? builder.udp(40_000, 80, { noChecksum: true }).payload(Buffer.alloc(64)).build()
        : builder.protocol(17, Buffer.alloc(64)).build();
    };
    const [first, later] = [piece(0, true), piece(9, false)].map((frame) => rig.ingress(frame).frame);
    for (const frame of [first, later]) {
      const inner = parsePacket((frame ?? Buffer.alloc(0)).subarray(14 + OVERHEAD[encapsulation][4]));
      expect(inner.destination).toBe(encapsulation === 'geneve' ? REMOTE_POD[4] : FAR[4]);
    }
  });
});
