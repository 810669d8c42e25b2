/** SCTP per packet: addresses, ports, and the CRC32c that sums the ports but not the addresses. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { packet } from '../support/packet/builder.ts';
import { crc32c, sctpChecksum } from '../support/packet/checksum.ts';
import { CLIENT, NODE, POD, REMOTE_POD } from '../support/packet/network.ts';
import { randomFrom } from '../support/packet/random.ts';
import { createPacketRig, type Outcome, type PacketRig } from '../support/packet/rig.ts';
import { backend, frontend, remote, service } from '../support/packet/services.ts';

const VIP = { 4: '10.96.0.10', 6: 'fd00:10:96::a' } as const;
const FAR = { 4: '10.96.0.11', 6: 'fd00:10:96::b' } as const;
const SAME = { 4: '10.96.0.12', 6: 'fd00:10:96::c' } as const;
const FAMILIES = [4, 6] as const;
/** Bytes of chunks: each power that the CRC is moved along by, alone and together. */
const LENGTHS = [4, 8, 20, 60, 124, 252, 508, 1020, 1400, 1452] as const;
let rig: PacketRig;

beforeAll(async () => {
  rig = await createPacketRig();
});
beforeEach(() => {
  rig.serve(
    ...FAMILIES.flatMap((family) =>
      (
        [
          [VIP, backend(POD[family])],
          [FAR, remote(REMOTE_POD[family])],
          [SAME, backend(POD[family], { port: 80 })],
        ] as const
      ).map(([vip, to]) =>
        service(`sctp-${vip[family].replaceAll(/[.:]/g, '-')}`, {
          protocol: 'SCTP',
          frontends: [frontend(vip[family], 80)],
          cluster: [to],
        }),
      ),
    ),
  );
});
afterAll(() => rig?.remove());

/** A different payload each time, the same in each run. */
const random = randomFrom(70);
const chunks = (length: number) => random.bytes(length);
const sctp = (from: string, to: string, sport: number, dport: number, length = 20, init = length > 0) =>
  packet(from, to).sctp(sport, dport, { init }).payload(chunks(length));

function expectSummed(out: Outcome): void {
  const { l4 } = out.parsed();
  expect(l4.readUInt32LE(8).toString(16)).toBe(sctpChecksum(l4).toString(16));
}

it('the CRC32c that the programs are held against is that of RFC 3720 B.4', () => {
  expect(crc32c(Buffer.alloc(32)).toString(16)).toBe('8a9136aa');
  expect(crc32c(Buffer.from('123456789')).toString(16)).toBe('e3069283');
});

describe.each(FAMILIES)('IPv%i (R-70)', (family) => {
  const [client, vip, pod] = [CLIENT[family], VIP[family], POD[family]];

  it.each(LENGTHS)('there and back with %i bytes of chunks', (length) => {
    rig.ingress(sctp(client, vip, 40000 + length, 80).build());
    for (const summed of [false, true]) {
      const sent = sctp(client, vip, 40000 + length, 80, length, false).build();
      const out = rig.ingress(sent, { summed });
      expect(out).toMatchObject({ verdict: 'NEXT', reasons: ['FORWARDED'] });
      expect(out.tuple()).toBe(`${client} ${40000 + length} > ${pod} 8080`);
      expectSummed(out);
      expect(
        out
          .parsed()
          .l4.subarray(12)
          .equals(sent.subarray(sent.length - length)),
      ).toBe(true);
      expect(out.parsed().l4.readUInt32BE(4)).toBe(0xfeedbeef);
    }
    const back = rig.egress(sctp(pod, client, 8080, 40000 + length, length, false).build(), { from: 'pod0' });
    expect(back.tuple()).toBe(`${vip} 80 > ${client} ${40000 + length}`);
    expectSummed(back);
  });

  it('an association begins with INIT, and with nothing else', () => {
    const begin = (bytes: Buffer, init: boolean) =>
      rig.ingress(packet(client, vip).sctp(40000, 80, { init }).payload(bytes).build());
    // DATA, HEARTBEAT, ABORT, COOKIE ECHO; and an INIT with a tag.
    for (const type of [0, 4, 6, 10, 1])
      expect(begin(Buffer.from([type, 0, 0, 4]), false)).toMatchObject({ reasons: ['REJECT_LOST'] });
    expect([...rig.flows('flows'), ...rig.flows('halfOpenFlows')]).toEqual([]);
    expect(begin(Buffer.alloc(20), true).reasons).toEqual(['NEW_FLOW']);
    expect(begin(Buffer.from([0, 0, 0, 4]), false).reasons).toEqual(['FORWARDED']);
  });

  it('both ports change: source NAT takes another', () => {
    const ports = [40000, 31000].map((port) => {
      const out = rig.ingress(sctp(client, FAR[family], port, 80, 100).build());
      expect(out).toMatchObject({ verdict: 'REDIRECT', reasons: ['NEW_FLOW'] });
      expect(out.parsed()).toMatchObject({ source: NODE[family], destination: REMOTE_POD[family], dport: 8080 });
      expectSummed(out);
      const back = rig.ingress(sctp(REMOTE_POD[family], NODE[family], 8080, out.parsed().sport, 333).build());
      expect(back.tuple()).toBe(`${FAR[family]} 80 > ${client} ${port}`);
      expectSummed(back);
      return out.parsed().sport;
    });
    expect(ports[0]).toBe(40000);
    expect(ports[1]).not.toBe(31000); // of the NodePort range
  });

  it('ports that stay leave the CRC as it is', () => {
    const sent = sctp(client, SAME[family], 40000, 80).build();
    const out = rig.ingress(sent);
    expect(out.tuple()).toBe(`${client} 40000 > ${pod} 80`);
    expect(out.parsed().l4.equals(sent.subarray(family === 4 ? 34 : 54))).toBe(true);
    expectSummed(out);
  });

  it('a CRC that is wrong stays wrong by as much', () => {
    const sent = sctp(client, vip, 40000, 80).build();
    const at = (family === 4 ? 34 : 54) + 8;
    sent.writeUInt32LE((sent.readUInt32LE(at) ^ 0x12345678) >>> 0, at);
    const l4 = rig.ingress(sent).frame.subarray(at - 8);
    expect(((l4.readUInt32LE(8) ^ sctpChecksum(l4)) >>> 0).toString(16)).toBe('12345678');
  });

  it('a CRC that is left to the device, or to nobody, stays zero', () => {
    const out = rig.ingress(packet(client, vip).sctp(40000, 80, { noChecksum: true }).payload(chunks(20)).build());
    expect(out.tuple()).toBe(`${client} 40000 > ${pod} 8080`);
    expect(out.parsed().l4.readUInt32LE(8)).toBe(0);
  });

  it('drops pieces whose CRC it cannot know, and counts it', () => {
    const built = sctp(client, vip, 40000, 80);
    const piece = family === 4 ? built.fragment(0, true) : built.extension(44, Buffer.from([0, 0, 0, 1, 0, 0, 0, 9]));
    expect(rig.ingress(piece.build())).toMatchObject({ verdict: 'DROP', reasons: ['DROP_REWRITE'] });
  });

  it('after options or extension headers', () => {
    const built = sctp(client, vip, 40000, 80, 72);
    const out = rig.ingress((family === 4 ? built.ipOptions(Buffer.alloc(12, 1)) : built.extension(60)).build());
    expect(out.tuple()).toBe(`${client} 40000 > ${pod} 8080`);
    expectSummed(out);
  });
});
