/**
 * ICMP errors reach the side whose packet they quote, with the addresses that this side knows: outside
 * and in the quoted headers. Every checksum in them holds afterwards.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  FRONTEND_CLUSTER_IP,
  FRONTEND_SNAT_HOST,
  FRONTEND_SNAT_OUTSIDE,
  FRONTEND_SNAT_POD,
} from '../../maps-schema/gen/codecs.ts';
import { ICMP_ERROR_KINDS, icmpError, type PacketBuilder, packet } from '../support/packet/builder.ts';
import { BRIDGE, CLIENT, NODE, POD, REMOTE_POD } from '../support/packet/network.ts';
import { parsePacket, tupleText } from '../support/packet/parser.ts';
import { createPacketRig, type Outcome, type PacketRig, type RunOptions } from '../support/packet/rig.ts';
import { backend, frontend, remote, service } from '../support/packet/services.ts';

const PLAIN = { 4: '10.96.0.10', 6: 'fd00:10:96::a' } as const;
const STAGED = { 4: '10.96.0.11', 6: 'fd00:10:96::b' } as const;
const FAR = { 4: '10.96.0.12', 6: 'fd00:10:96::c' } as const;
/** Routers on the way to the backend and to the client. */
const INNER = { 4: '10.1.200.1', 6: 'fd00:1:200::1' } as const;
const OUTER = { 4: '192.0.2.254', 6: '2001:db8:1::fe' } as const;
const SNAT = FRONTEND_CLUSTER_IP | FRONTEND_SNAT_POD | FRONTEND_SNAT_HOST | FRONTEND_SNAT_OUTSIDE;
const FAMILIES = [4, 6] as const;
const PROTOCOLS = ['udp', 'tcp', 'sctp'] as const;
let rig: PacketRig;

beforeAll(async () => {
  rig = await createPacketRig();
});
beforeEach(() => {
  rig.serve(
    ...FAMILIES.flatMap((family) =>
      PROTOCOLS.flatMap((proto) => {
        const protocol = proto.toUpperCase() as 'TCP' | 'UDP' | 'SCTP';
        return [
          service(`plain-${proto}-${family}`, {
            protocol,
            frontends: [frontend(PLAIN[family], 80)],
            cluster: [backend(POD[family])],
          }),
          service(`staged-${proto}-${family}`, {
            protocol,
            frontends: [frontend(STAGED[family], 80, { flags: SNAT })],
            cluster: [backend(POD[family])],
          }),
          service(`far-${proto}-${family}`, {
            protocol,
            frontends: [frontend(FAR[family], 80)],
            cluster: [remote(REMOTE_POD[family])],
          }),
        ];
      }),
    ),
  );
});
afterAll(() => rig?.remove());

type Proto = (typeof PROTOCOLS)[number];
const make = (proto: Proto, from: string, to: string, sport: number, dport: number): PacketBuilder =>
  (proto === 'tcp' ? packet(from, to).tcp(sport, dport, 'S') : packet(from, to)[proto](sport, dport)).payload('odd');

/**
 * What the error says and about what, checksums checked: its own and the quoted ones, as far as the quote
 * is whole. SCTP quotes are told by their ports alone.
 */
function told(out: Outcome, wholeQuote: boolean, proto: Proto): string {
  const { source, destination, l4 } = out.parsed();
  const quoted = parsePacket(l4.subarray(8), wholeQuote && proto !== 'sctp');
  expect(quoted.wrong).toEqual([]);
  return `${source} > ${destination}: ${tupleText(quoted)}`;
}

/** The rest of the error is as it was: type, code, MTU, and what the quote says after the ports. */
function expectSameError(out: Outcome, sent: Buffer, family: 4 | 6): void {
  const at = family === 4 ? 34 : 54;
  const [before, after] = [sent.subarray(at), out.frame.subarray(at)];
  expect(after.length).toBe(before.length);
  expect(after.subarray(0, 2).equals(before.subarray(0, 2))).toBe(true);
  expect(after.subarray(4, 8).equals(before.subarray(4, 8))).toBe(true);
}

describe.each(FAMILIES)('IPv%i (R-100)', (family) => {
  const v4 = family === 4;
  const [client, pod, far, node, bridge] = [
    CLIENT[family],
    POD[family],
    REMOTE_POD[family],
    NODE[family],
    BRIDGE[family],
  ];
  /** Whole packets are quoted, or the header and eight bytes (RFC 792). */
  const lengths = [548, (family === 4 ? 20 : 40) + 8];
  const variants = PROTOCOLS.flatMap((proto) =>
    ICMP_ERROR_KINDS.flatMap((kind) =>
      lengths.flatMap((length) => [false, true].map((summed) => ({ proto, kind, length, summed }))),
    ),
  );

  describe.each(variants)('$kind about $proto, $length bytes quoted, summed by the device: $summed', (variant) => {
    const { proto, kind, length, summed } = variant;
    const port = length === 548 ? 31000 : 40000; // one of them is changed by source NAT
    const whole = length === 548;
    const through = (hook: 'ingress' | 'egress', sent: Buffer, options: RunOptions = {}) => {
      const out = rig[hook](Buffer.from(sent), { summed, ...options });
      expectSameError(out, sent, family);
      return out;
    };
    const error = (from: string, to: string, about: Buffer) => icmpError(from, to, about, { kind, length }).build();
    const open = (vip: string) => rig.ingress(make(proto, client, vip, port, 80).build());

    describe.each([
      ['the backend', pod],
      ['a router before it', INNER[family]],
    ])('through the stack, from %s', (_, sender) => {
      it('reaches the client', () => {
        const inward = open(PLAIN[family]).frame;
        const out = through('egress', error(sender, client, inward), { from: 'pod0' });
        expect(out).toMatchObject({ verdict: 'NEXT', reasons: ['ICMP_ERROR'] });
        const shown = sender === pod ? PLAIN[family] : sender;
        expect(told(out, whole, proto)).toBe(`${shown} > ${client}: ${client} ${port} > ${PLAIN[family]} 80`);
      });

      it('reaches the client through both places of source NAT', () => {
        const outward = rig.egress(open(STAGED[family]).frame, { device: 'pod0', from: 'node0' });
        const { sport } = outward.parsed();
        expect(outward.tuple()).toBe(`${bridge} ${sport} > ${pod} 8080`);
        const first = through('ingress', error(sender, bridge, outward.frame), { device: 'pod0' });
        expect(first).toMatchObject({ verdict: 'NEXT', reasons: ['ICMP_ERROR'] });
        expect(told(first, whole, proto)).toBe(`${sender} > ${client}: ${client} ${port} > ${pod} 8080`);
        const out = through('egress', first.frame, { from: 'pod0' });
        const shown = sender === pod ? STAGED[family] : sender;
        expect(told(out, whole, proto)).toBe(`${shown} > ${client}: ${client} ${port} > ${STAGED[family]} 80`);
      });
    });

    it.each([
      ['the backend', far, FAR[family]],
      ['a router before it', INNER[family], INNER[family]],
    ])('past the stack, from %s, reaches the client', (_, sender, shown) => {
      const outward = open(FAR[family]);
      const out = through('ingress', error(sender, node, outward.frame));
      expect(out).toMatchObject({ verdict: 'REDIRECT', reasons: ['ICMP_ERROR'] });
      expect(told(out, whole, proto)).toBe(`${shown} > ${client}: ${client} ${port} > ${FAR[family]} 80`);
      expect(out.parsed().ttl).toBe(63);
    });

    describe.each([
      ['the client', client],
      ['a router before it', OUTER[family]],
    ])("from the client's side: %s", (_, sender) => {
      const answer = (vip: string) => make(proto, vip, client, 80, port).build();

      it('reaches the backend through the stack', () => {
        open(PLAIN[family]);
        const out = through('ingress', error(sender, PLAIN[family], answer(PLAIN[family])));
        expect(out).toMatchObject({ verdict: 'NEXT', reasons: ['ICMP_ERROR'] });
        expect(told(out, whole, proto)).toBe(`${sender} > ${pod}: ${pod} 8080 > ${client} ${port}`);
      });

      it('reaches the backend through both places of source NAT', () => {
        const outward = rig.egress(open(STAGED[family]).frame, { device: 'pod0', from: 'node0' });
        const first = through('ingress', error(sender, STAGED[family], answer(STAGED[family])));
        expect(told(first, whole, proto)).toBe(`${sender} > ${pod}: ${pod} 8080 > ${client} ${port}`);
        const out = through('egress', first.frame, { device: 'pod0', from: 'node0' });
        const shown = sender === client ? bridge : sender;
        expect(told(out, whole, proto)).toBe(`${shown} > ${pod}: ${pod} 8080 > ${bridge} ${outward.parsed().sport}`);
      });

      it('reaches the backend past the stack', () => {
        const { sport } = open(FAR[family]).parsed();
        const out = through('ingress', error(sender, FAR[family], answer(FAR[family])));
        expect(out).toMatchObject({ verdict: 'REDIRECT', reasons: ['ICMP_ERROR'] });
        const shown = sender === client ? node : sender;
        expect(told(out, whole, proto)).toBe(`${shown} > ${far}: ${far} 8080 > ${node} ${sport}`);
      });
    });
  });

  it('an error past the stack ends when it has no hops left', () => {
    const outward = rig.ingress(make('udp', client, FAR[family], 40000, 80).build());
    const out = rig.ingress(icmpError(far, node, outward.frame).ttl(1).build());
    expect(out).toMatchObject({ verdict: 'DROP', reasons: ['DROP_TTL'] });
  });

  it('an error whose own header has options is whole (RFC 791 3.1)', () => {
    if (family === 6) return;
    const outward = rig.ingress(make('udp', client, FAR[4], 40000, 80).build());
    for (const summed of [false, true]) {
      const error = icmpError(far, node, outward.frame).ipOptions(Buffer.alloc(8, 1)).build();
      const out = rig.ingress(error, { summed });
      expect(out).toMatchObject({ verdict: 'REDIRECT', reasons: ['ICMP_ERROR'] });
      expect(out.parsed()).toMatchObject({ destination: client, wrong: [] });
    }
  });

  it('quoted UDP without a checksum stays so', () => {
    if (family === 6) return; // must have one (RFC 8200 8.1)
    const sent = packet(client, PLAIN[4]).udp(40000, 80, { noChecksum: true }).payload('abc').build();
    const out = rig.egress(icmpError(pod, client, rig.ingress(sent).frame).build(), { from: 'pod0' });
    expect(told(out, true, 'udp')).toBe(`${PLAIN[4]} > ${client}: ${client} 40000 > ${PLAIN[4]} 80`);
    expect(out.parsed().l4.readUInt16BE(8 + 20 + 6)).toBe(0);
  });

  it('quoted IPv4 options are stepped over', () => {
    if (family === 6) return;
    const sent = make('udp', client, PLAIN[4], 40000, 80).ipOptions(Buffer.alloc(12, 1)).build();
    const out = rig.egress(icmpError(pod, client, rig.ingress(sent).frame).build(), { from: 'pod0' });
    expect(told(out, true, 'udp')).toBe(`${PLAIN[4]} > ${client}: ${client} 40000 > ${PLAIN[4]} 80`);
  });

  describe('errors that are not about our packets go on untouched', () => {
    const about = make('udp', client, pod, 40000, 8080).build();
    const otherPort = make('udp', client, pod, 40001, 8080).build();
    const otherProtocol = make('tcp', client, pod, 40000, 8080).build();
    const piece = v4 ? make('udp', client, pod, 40000, 8080).fragment(185).build() : about.subarray(0, 14 + 41);
    const notError = packet(pod, client)
      .icmp(v4 ? 13 : 133, 0)
      .payload(about.subarray(14))
      .build();
    const hidden = v4
      ? Buffer.from(icmpError(pod, client, about).fragment(0, true).build())
      : icmpError(pod, client, about)
          .extension(60, Buffer.concat([Buffer.alloc(8), about.subarray(14, 70)]))
          .build();

    it.each([
      ['another port', icmpError(pod, client, otherPort).build()],
      ['another protocol', icmpError(pod, client, otherProtocol).build()],
      ['a pod of another name', icmpError(pod, client, make('udp', client, far, 40000, 8080).build()).build()],
      ['a later piece, or a quote cut short', icmpError(pod, client, piece).build()],
      ['no error at all', notError],
      ['an error in pieces, or after an extension header', hidden],
      ['a quote of nothing', icmpError(pod, client, about, { length: 0 }).build()],
      ['a quote without ports', icmpError(pod, client, about, { length: v4 ? 22 : 42 }).build()],
    ])('%s', (_, frame) => {
      rig.ingress(make('udp', client, PLAIN[family], 40000, 80).build());
      for (const hook of ['ingress', 'egress'] as const) {
        const out = rig[hook](Buffer.from(frame), { from: hook === 'egress' ? 'pod0' : undefined });
        expect(out).toMatchObject({ verdict: 'NEXT', reasons: [] });
        expect(out.frame.equals(frame)).toBe(true);
      }
      // The same error about the flow is translated: the frames above are not left alone for another reason.
      expect(rig.egress(icmpError(pod, client, about).build(), { from: 'pod0' }).reasons).toEqual(['ICMP_ERROR']);
    });
  });
});
