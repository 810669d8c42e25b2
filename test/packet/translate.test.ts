/** A flow through the stack: translated where it comes in, translated back where the answer leaves. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type PacketBuilder, packet } from '../support/packet/builder.ts';
import { CLIENT, OTHER_POD, POD } from '../support/packet/network.ts';
import { createPacketRig, type PacketRig } from '../support/packet/rig.ts';
import { backend, frontend, service } from '../support/packet/services.ts';

const VIP = { 4: '10.96.0.10', 6: 'fd00:10:96::a' } as const;
/** Another frontend of the same backend. */
const SECOND = { 4: '10.96.0.11', 6: 'fd00:10:96::b' } as const;
const FAMILIES = [4, 6] as const;
let rig: PacketRig;

function services() {
  return FAMILIES.flatMap((family) =>
    (['TCP', 'UDP'] as const).flatMap((protocol) =>
      [VIP, SECOND].map((vip, i) =>
        service(`${protocol}${family}-${i}`.toLowerCase(), {
          protocol,
          frontends: [frontend(vip[family], 80)],
          cluster: [backend(POD[family])],
        }),
      ),
    ),
  );
}

beforeAll(async () => {
  rig = await createPacketRig();
});
beforeEach(() => rig.serve(...services()));
afterAll(() => rig?.remove());

type Make = (from: string, to: string, sport: number, dport: number) => PacketBuilder;
const tcp: Make = (from, to, sport, dport) => packet(from, to).tcp(sport, dport, 'S', { seq: 77, ack: 99 });
const tcpOptions: Make = (from, to, sport, dport) =>
  packet(from, to).tcp(sport, dport, 'S', { options: Buffer.from([1, 1, 8, 10, 0, 0, 0, 5, 0, 0, 0, 6]) });
const udp: Make = (from, to, sport, dport) => packet(from, to).udp(sport, dport);
const ipOptions: Make = (...args) => tcp(...args).ipOptions(Buffer.from([1, 1, 1, 7, 7, 4, 4, 0]));
const udpIpOptions: Make = (...args) => udp(...args).ipOptions(Buffer.alloc(40, 1));
const extensions: Make = (...args) =>
  tcp(...args)
    .extension(0)
    .extension(60, Buffer.alloc(24));
const udpExtensions: Make = (...args) =>
  udp(...args)
    .extension(43)
    .extension(60);

const shapes: readonly [string, 4 | 6, Make][] = [
  ['TCP over IPv4', 4, tcp],
  ['TCP over IPv6', 6, tcp],
  ['TCP with options', 4, tcpOptions],
  ['UDP over IPv4', 4, udp],
  ['UDP over IPv6', 6, udp],
  ['TCP with IPv4 options', 4, ipOptions],
  ['UDP with the longest IPv4 options', 4, udpIpOptions],
  ['TCP after extension headers', 6, extensions],
  ['UDP after extension headers', 6, udpExtensions],
];

describe.each([false, true])('with the whole packet summed by the device: %s', (summed) => {
  it.each(shapes)('%s: there and back', (_, family, make) => {
    for (const payload of ['', 'x', 'hello', 'a longer payload of an odd length, at last']) {
      const there = make(CLIENT[family], VIP[family], 40000, 80).payload(payload).build();
      for (const reason of ['NEW_FLOW', 'FORWARDED']) {
        const out = rig.ingress(there, { summed });
        expect(out).toMatchObject({ verdict: 'NEXT', reasons: [reason] });
        expect(out.tuple()).toBe(`${CLIENT[family]} 40000 > ${POD[family]} 8080`);
        expect(out.frame.length).toBe(there.length);
        expect(out.parsed()).toMatchObject({ ttl: 64, dmac: '02:00:00:00:00:bb' });
        expect(out.frame.subarray(out.frame.length - payload.length).toString()).toBe(payload);
      }
      const back = rig.egress(make(POD[family], CLIENT[family], 8080, 40000).payload(payload).build(), { summed });
      expect(back).toMatchObject({ verdict: 'NEXT', reasons: ['FORWARDED'] });
      expect(back.tuple()).toBe(`${VIP[family]} 80 > ${CLIENT[family]} 40000`);
      rig.serve(...services());
    }
  });
});

it('changes nothing but addresses, ports and checksums', () => {
  const there = ipOptions(CLIENT[4], VIP[4], 40000, 80).payload('abc').build();
  const { frame } = rig.ingress(there);
  const differing = [...there.keys()].filter((i) => there[i] !== frame[i]);
  const l4 = 14 + 28;
  const allowed = [24, 25, 30, 31, 32, 33, l4 + 2, l4 + 3, l4 + 16, l4 + 17];
  expect(differing.filter((i) => !allowed.includes(i))).toEqual([]);
});

describe('UDP checksums', () => {
  const checksumOf = (l4: Buffer) => l4.readUInt16BE(6);

  it('leaves "no checksum" alone over IPv4', () => {
    const there = packet(CLIENT[4], VIP[4]).udp(40000, 80, { noChecksum: true }).payload('abc').build();
    for (const reason of ['NEW_FLOW', 'FORWARDED']) {
      const out = rig.ingress(there);
      expect(out.reasons).toEqual([reason]);
      expect(out.tuple()).toBe(`${CLIENT[4]} 40000 > ${POD[4]} 8080`);
      expect(checksumOf(out.parsed().l4)).toBe(0);
    }
  });

  it.each(FAMILIES)('never becomes "no checksum" over IPv%i', (family) => {
    const udpOf = (to: string, port: number, word: number) =>
      packet(CLIENT[family], to)
        .udp(40000, port)
        .payload(Buffer.from([word >> 8, word & 0xff]))
        .build();
    const check = (frame: Buffer) => checksumOf(frame.subarray(family === 4 ? 34 : 54));
    // A first word that makes the sum of the rest whole, so that the checksum is zero before RFC 768's rule.
    const critical = check(udpOf(POD[family], 8080, 0));
    expect(check(udpOf(POD[family], 8080, critical))).toBe(0xffff);
    const words = [critical, critical ^ 1, critical ^ 0x100, check(udpOf(VIP[family], 80, 0)), 0, 1, 0xfffe, 0xffff];
    for (const word of words) {
      const { frame } = rig.ingress(udpOf(VIP[family], 80, word));
      expect(frame.equals(udpOf(POD[family], 8080, word))).toBe(true);
    }
  });
});

describe('ports', () => {
  it('keeps two clients apart', () => {
    for (const port of [40000, 40001]) {
      expect(rig.ingress(tcp(CLIENT[4], VIP[4], port, 80).build()).tuple()).toBe(
        `${CLIENT[4]} ${port} > ${POD[4]} 8080`,
      );
    }
    for (const port of [40000, 40001]) {
      expect(rig.egress(tcp(POD[4], CLIENT[4], 8080, port).build()).tuple()).toBe(
        `${VIP[4]} 80 > ${CLIENT[4]} ${port}`,
      );
    }
  });

  it.each(FAMILIES)('gives another port when the answers of two connections would look alike, IPv%i', (family) => {
    const through = (vip: string) => rig.ingress(udp(CLIENT[family], vip, 40000, 80).build()).parsed();
    expect(through(VIP[family]).sport).toBe(40000);
    const second = through(SECOND[family]);
    expect(second).toMatchObject({ source: CLIENT[family], destination: POD[family], dport: 8080 });
    expect(second.sport).not.toBe(40000);
    expect(second.sport).toBeGreaterThanOrEqual(32768);
    const answer = (port: number) => rig.egress(udp(POD[family], CLIENT[family], 8080, port).build()).tuple();
    expect(answer(40000)).toBe(`${VIP[family]} 80 > ${CLIENT[family]} 40000`);
    expect(answer(second.sport)).toBe(`${SECOND[family]} 80 > ${CLIENT[family]} 40000`);
    expect(through(SECOND[family]).sport).toBe(second.sport);
  });

  it('keeps the port when the connection that had it is long gone', () => {
    rig.ingress(udp(CLIENT[4], VIP[4], 40000, 80).build());
    for (const row of rig.flows('halfOpenFlows')) age(row, 31);
    expect(rig.ingress(udp(CLIENT[4], SECOND[4], 40000, 80).build()).parsed().sport).toBe(40000);
    expect(rig.egress(udp(POD[4], CLIENT[4], 8080, 40000).build()).tuple()).toBe(
      `${SECOND[4]} 80 > ${CLIENT[4]} 40000`,
    );
  });

  it('keeps the port of a connection that only ever sends', () => {
    rig.ingress(udp(CLIENT[4], VIP[4], 40000, 80).build());
    for (const row of rig.flows('halfOpenFlows')) if ((row.flow.flags & 1) !== 0) age(row, 31);
    expect(rig.ingress(udp(CLIENT[4], SECOND[4], 40000, 80).build()).parsed().sport).not.toBe(40000);
  });

  const age = (row: Parameters<PacketRig['putFlow']>[1], seconds: number) => {
    const lastSeen = (row.flow.lastSeen - seconds * 1000) >>> 0;
    rig.putFlow('halfOpenFlows', { key: row.key, flow: { ...row.flow, lastSeen } });
  };
});

it('leaves answers of the backend to other clients alone', () => {
  rig.ingress(tcp(CLIENT[4], VIP[4], 40000, 80).build());
  const other = tcp(POD[4], OTHER_POD[4], 8080, 40000).build();
  const { verdict, frame } = rig.egress(other);
  expect(verdict).toBe('NEXT');
  expect(frame.equals(other)).toBe(true);
});
