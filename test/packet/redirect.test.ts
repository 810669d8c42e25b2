/** From outside to a backend on another node: both translations at once, and out again from the hook. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { packet } from '../support/packet/builder.ts';
import { CLIENT, MACS, NODE, REMOTE_POD } from '../support/packet/network.ts';
import { parsePacket, tupleText } from '../support/packet/parser.ts';
import { createPacketRig, type PacketRig, WAYS } from '../support/packet/rig.ts';
import { frontend, remote, service } from '../support/packet/services.ts';

const VIP = { 4: '10.96.0.10', 6: 'fd00:10:96::a' } as const;
const SECOND = { 4: '10.96.0.11', 6: 'fd00:10:96::b' } as const;
const FAMILIES = [4, 6] as const;
let rig: PacketRig;

beforeEach(() =>
  rig.serve(
    ...FAMILIES.flatMap((family) =>
      [VIP, SECOND].flatMap((vip, i) =>
        (['TCP', 'UDP'] as const).map((protocol) =>
          service(`${protocol}-${family}-${i}`.toLowerCase(), {
            protocol,
            frontends: [frontend(vip[family], 80)],
            cluster: [remote(REMOTE_POD[family])],
          }),
        ),
      ),
    ),
  ),
);

const tcp = (from: string, to: string, sport: number, dport: number, flags = 'S') =>
  packet(from, to).tcp(sport, dport, flags).payload('odd');
const udp = (from: string, to: string, sport: number, dport: number) =>
  packet(from, to).udp(sport, dport).payload('odd');

describe.each(WAYS)('by %s', (way) => {
  beforeAll(async () => {
    rig = await createPacketRig({}, way);
  });
  afterAll(() => rig?.remove());
  describe.each(FAMILIES)('IPv%i', (family) => {
    const [client, vip, node, pod] = [CLIENT[family], VIP[family], NODE[family], REMOTE_POD[family]];

    describe.each([
      ['TCP', tcp],
      ['UDP', udp],
    ] as const)('%s', (_, make) => {
      it.each([
        false,
        true,
      ])('goes there and back, TTL one less, next hop known (summed by the device: %s)', (summed) => {
        const byXdp = ['NEW_FLOW', 'REDIRECTED_XDP'];
        for (const [i, reason] of ['NEW_FLOW', 'REDIRECTED'].entries()) {
          const out = rig.ingress(
            make(client, vip, 40000, 80)
              .ttl(64 - i)
              .build(),
            { summed },
          );
          expect(out).toMatchObject({ verdict: 'REDIRECT', reasons: [out.hook === 'xdp' ? byXdp[i] : reason] });
          expect(out.tuple()).toBe(`${node} 40000 > ${pod} 8080`);
          expect(out.parsed()).toMatchObject({ ttl: 63 - i, smac: MACS.node, dmac: MACS.neighbour });
        }
        for (const known of [false, true]) {
          const back = rig.ingress(make(pod, node, 8080, 40000).build(), { summed });
          expect(back).toMatchObject({
            verdict: 'REDIRECT',
            reasons: [back.hook === 'xdp' ? 'REDIRECTED_XDP' : 'REDIRECTED'],
          });
          expect(back.tuple()).toBe(`${vip} 80 > ${client} 40000`);
          // The first answer finds its next hop and leaves the addresses to the neighbour subsystem.
          expect(back.parsed()).toMatchObject({ ttl: 63, ...(known ? { smac: MACS.node, dmac: MACS.gateway } : {}) });
        }
      });
    });

    it.each([
      ['TCP', tcp],
      ['UDP', udp],
      ...(family === 4
        ? [
            [
              'UDP without a checksum',
              (...[from, to, sport, dport]: Parameters<typeof udp>) =>
                packet(from, to).udp(sport, dport, { noChecksum: true }).payload('odd'),
            ] as const,
          ]
        : []),
    ] as const)('%s, established: the sum that the device made follows', (_, make) => {
      const there = (flags = '.') => make(client, vip, 40000, 80, flags).build();
      const back = () => make(pod, node, 8080, 40000, '.').build();
      for (const frame of [there('S'), back(), there(), back()]) rig.ingress(frame, { way: 'tc' });
      expect(rig.flows('flows')).toHaveLength(2);
      const out = rig.ingress(there(), { way: 'tc', summed: true });
      expect(out).toMatchObject({ verdict: 'REDIRECT', reasons: ['REDIRECTED'] });
      expect(out.tuple()).toBe(`${node} 40000 > ${pod} 8080`);
      const answer = rig.ingress(back(), { way: 'tc', summed: true });
      expect(answer).toMatchObject({ verdict: 'REDIRECT', reasons: ['REDIRECTED'] });
      expect(answer.tuple()).toBe(`${vip} 80 > ${client} 40000`);
    });

    it('looks the next hop up again when the agent says that routes changed', () => {
      const there = () => rig.ingress(tcp(client, vip, 40000, 80).build()).parsed();
      expect(there().dmac).toBe(MACS.neighbour);
      const { view } = rig.maps.control;
      view.writeUInt32LE(view.readUInt32LE(0) + 1, 0);
      // The packet that looks it up goes by the neighbour subsystem, which writes the addresses.
      expect(there().dmac).not.toBe(MACS.neighbour);
      expect(there().dmac).toBe(MACS.neighbour);
    });

    it('needs two entries, which move to the established flows together', () => {
      rig.ingress(tcp(client, vip, 40000, 80).build());
      rig.ingress(tcp(pod, node, 8080, 40000, 'S.').build());
      expect(rig.flows('halfOpenFlows')).toHaveLength(2);
      rig.ingress(tcp(client, vip, 40000, 80, '.').build());
      expect(rig.flows('halfOpenFlows')).toHaveLength(0);
      expect(rig.flows('flows')).toHaveLength(2);
      expect(rig.ingress(tcp(pod, node, 8080, 40000, '.').build()).tuple()).toBe(`${vip} 80 > ${client} 40000`);
    });

    it('takes another port when another connection has it', () => {
      rig.ingress(tcp(client, vip, 40000, 80).build());
      const second = rig.ingress(tcp(client, SECOND[family], 40000, 80).build()).parsed();
      expect(second.source).toBe(node);
      expect(second.sport).not.toBe(40000);
      expect(rig.ingress(tcp(pod, node, 8080, second.sport, 'S.').build()).tuple()).toBe(
        `${SECOND[family]} 80 > ${client} 40000`,
      );
    });

    it('tells the sender of what has no hops left, from this node', () => {
      for (const [ttl, flags] of [
        [1, 'S'],
        [1, '.'],
        [0, '.'],
      ] as const) {
        const frame = tcp(client, vip, 40000, 80, flags).ttl(ttl).build();
        const out = rig.ingress(frame);
        expect(out).toMatchObject({ verdict: 'REDIRECT', reasons: ['TIME_EXCEEDED'] });
        const { source, destination, l4 } = out.parsed();
        expect([source, destination, l4[0], l4[1]]).toEqual([NODE[family], client, family === 4 ? 11 : 3, 0]);
        expect(tupleText(parsePacket(l4.subarray(8), false))).toBe(`${client} 40000 > ${vip} 80`);
      }
      expect(rig.ingress(tcp(client, vip, 40000, 80).ttl(2).build()).parsed().ttl).toBe(1);
    });

    it('counts the packets and bytes of the flow', () => {
      const frames = ['S', '.', '.'].map((flags) => tcp(client, vip, 40000, 80, flags).build());
      for (const frame of frames) rig.ingress(frame);
      const [forward] = rig.flows('halfOpenFlows').filter(({ key }) => key.daddr === vip);
      expect(forward?.flow).toMatchObject({ packets: 3n, bytes: BigInt(3 * ((frames[0]?.length ?? 0) - 14)) });
    });
  });
});
