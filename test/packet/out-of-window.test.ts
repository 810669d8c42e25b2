/**
 * TCP packets outside the window. netfilter calls them INVALID, leaves them untranslated and needs a rule
 * that drops them, or they reach the client from an address that it never dialled. Here the addresses and
 * ports alone decide: such a packet is translated like any other, and the two ends see to it.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { packet } from '../support/packet/builder.ts';
import { CLIENT, NODE, POD, REMOTE_POD } from '../support/packet/network.ts';
import { createPacketRig, type PacketRig } from '../support/packet/rig.ts';
import { backend, frontend, remote, service } from '../support/packet/services.ts';

const VIP = { 4: '10.96.0.10', 6: 'fd00:10:96::a' } as const;
const FAR = { 4: '10.96.0.11', 6: 'fd00:10:96::b' } as const;
/** Sequence and acknowledgement numbers that no connection here has used. */
const STRAY = [
  ['far ahead', { seq: 0x7fff0000, ack: 1 }],
  ['far behind', { seq: 0x80000001, ack: 0xffffffff }],
  ['of nothing', { seq: 0, ack: 0 }],
] as const;
let rig: PacketRig;

beforeAll(async () => {
  rig = await createPacketRig();
});
afterAll(() => rig?.remove());

describe.each([4, 6] as const)('IPv%i (R-71)', (family) => {
  beforeEach(() => {
    rig.serve(
      service('here', { frontends: [frontend(VIP[family], 80)], cluster: [backend(POD[family])] }),
      service('far', { frontends: [frontend(FAR[family], 80)], cluster: [remote(REMOTE_POD[family])] }),
    );
    for (const [address, answer] of [
      [VIP[family], () => rig.egress(packet(POD[family], CLIENT[family]).tcp(8080, 40000, 'S.').build())],
      [FAR[family], () => rig.ingress(packet(REMOTE_POD[family], NODE[family]).tcp(8080, 40000, 'S.').build())],
    ] as const) {
      rig.ingress(packet(CLIENT[family], address).tcp(40000, 80, 'S', { seq: 1000 }).build());
      answer();
      rig.ingress(packet(CLIENT[family], address).tcp(40000, 80, '.', { seq: 1001, ack: 1 }).build());
    }
  });

  describe.each(STRAY)('numbers %s', (_, numbers) => {
    it.each([
      '.',
      'P.',
      'R',
      'R.',
      'F.',
      'S.',
    ] as const)('%s of the backend comes to the client from the frontend', (flags) => {
      const make = (from: string, to: string) => packet(from, to).tcp(8080, 40000, flags, numbers).payload('x').build();
      const local = rig.egress(make(POD[family], CLIENT[family]));
      expect(local.tuple()).toBe(`${VIP[family]} 80 > ${CLIENT[family]} 40000`);
      const sent = rig.ingress(make(REMOTE_POD[family], NODE[family]));
      expect(sent).toMatchObject({ verdict: 'REDIRECT', reasons: ['REDIRECTED'] });
      expect(sent.tuple()).toBe(`${FAR[family]} 80 > ${CLIENT[family]} 40000`);
    });

    it.each(['.', 'P.', 'R', 'F.'] as const)('%s of the client goes to its backend', (flags) => {
      const sent = packet(CLIENT[family], VIP[family]).tcp(40000, 80, flags, numbers).payload('x').build();
      expect(rig.ingress(sent).tuple()).toBe(`${CLIENT[family]} 40000 > ${POD[family]} 8080`);
    });
  });
});
