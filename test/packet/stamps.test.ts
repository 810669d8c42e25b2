/** Stamps of other CPUs, which may be a moment ahead, and of datagrams whose identification has come again. */
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encode } from '../../maps-schema/codec.ts';
import { affinity, fragment } from '../../maps-schema/gen/codecs.ts';
import { poll } from '../support/lab/poll.ts';
import { packet } from '../support/packet/builder.ts';
import { CLIENT, OTHER_POD, POD } from '../support/packet/network.ts';
import { pieces } from '../support/packet/pieces.ts';
import { createPacketRig, type PacketRig } from '../support/packet/rig.ts';
import { backend, frontend, service } from '../support/packet/services.ts';

const VIP = { 4: '10.96.0.10', 6: 'fd00:10:96::a' } as const;
const FAMILIES = [4, 6] as const;
const JIFFIES_PER_SECOND = 1000;
let rig: PacketRig;

const serve = (protocol: 'TCP' | 'UDP', to: PacketRig = rig, affinitySeconds = 0) =>
  to.serve(
    ...FAMILIES.map((family) =>
      service(`stamps-${family}`, {
        protocol,
        affinitySeconds,
        frontends: [frontend(VIP[family], 80)],
        cluster: [backend(POD[family]), backend(OTHER_POD[family])],
      }),
    ),
  );

beforeAll(async () => {
  rig = await createPacketRig();
});
afterAll(() => rig?.remove());

describe('a stamp that is a moment ahead', () => {
  it('is not one of long ago: the flow goes on', () => {
    serve('UDP');
    const send = () => rig.ingress(packet(CLIENT[4], VIP[4]).udp(40000, 80).build());
    expect(send().reasons).toEqual(['NEW_FLOW']);
    const [row] = rig.flows('halfOpenFlows').filter(({ key }) => key.daddr === VIP[4]);
    if (row === undefined) throw new Error('no flow');
    const later = (row.flow.lastSeen + JIFFIES_PER_SECOND) >>> 0;
    rig.putFlow('halfOpenFlows', { ...row, flow: { ...row.flow, lastSeen: later } });
    expect(send().reasons).toEqual(['FORWARDED']);
  });

  it('does not end an affinity', () => {
    serve('TCP', rig, 600);
    const dial = (port: number) =>
      rig.ingress(packet(CLIENT[4], VIP[4]).tcp(port, 80, 'S').build()).parsed().destination;
    const chosen = dial(41000);
    for (let port = 41001; port < 41030; port++) {
      for (const { key, value } of [...rig.maps.affinities.entries()]) {
        const row = affinity.read(value, 0);
        rig.maps.affinities.update(key, encode(affinity, { ...row, lastNew: row.lastNew + 1_000_000_000n }));
      }
      expect(dial(port)).toBe(chosen);
    }
  });
});

describe.each(FAMILIES)('IPv%i: an identification that comes again (R-99)', (family) => {
  const frames = pieces({
    from: CLIENT[family],
    to: VIP[family],
    sport: 40000,
    dport: 80,
    id: 9,
    data: Buffer.alloc(3000),
  });
  const [first, second] = frames as [Buffer, Buffer];

  it('has not the ports of the old datagram', () => {
    serve('UDP');
    rig.ingress(Buffer.from(first));
    expect(rig.ingress(Buffer.from(second)).reasons).toEqual(['FORWARDED']);
    for (const { key, value } of [...rig.maps.fragments.entries()]) {
      const ports = fragment.read(value, 0);
      const made = (ports.made - 31 * JIFFIES_PER_SECOND) >>> 0;
      rig.maps.fragments.update(key, encode(fragment, { ...ports, made }));
    }
    expect(rig.ingress(Buffer.from(second)).reasons).toEqual(['PIECE_HELD']);
    rig.ingress(Buffer.from(first));
    expect(rig.ingress(Buffer.from(second)).reasons).toEqual(['FORWARDED']);
  });

  it('takes the room of old pieces that are held', async () => {
    // A jiffy is a second here: their time is over soon.
    const fast = await createPacketRig({ jiffiesPerSecond: 1 });
    try {
      serve('UDP', fast);
      const send = () => fast.ingress(Buffer.from(second)).reasons;
      await poll('see a piece dropped', () => isDeepStrictEqual(send(), ['DROP_PIECE']), { everyMs: 0 });
      await poll('see a piece held', () => isDeepStrictEqual(send(), ['PIECE_HELD']));
    } finally {
      fast.remove();
    }
  });
});
