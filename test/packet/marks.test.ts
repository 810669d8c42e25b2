/** Packets keep the mark that they come with: nothing here needs one, so none is left behind. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packet } from '../support/packet/builder.ts';
import { CLIENT, NODE, POD, REMOTE_POD } from '../support/packet/network.ts';
import { createPacketRig, type Outcome, type PacketRig } from '../support/packet/rig.ts';
import { backend, frontend, remote, service } from '../support/packet/services.ts';

const VIP = { 4: '10.96.0.10', 6: 'fd00:10:96::a' } as const;
const FAR = { 4: '10.96.0.11', 6: 'fd00:10:96::b' } as const;
const EMPTY = { 4: '10.96.0.12', 6: 'fd00:10:96::c' } as const;
let rig: PacketRig;

beforeAll(async () => {
  rig = await createPacketRig();
});
afterAll(() => rig?.remove());

/** None, kube-proxy's bits 14 and 15, and somebody else's. */
describe.each([0, 1 << 14, 0xc000, 0xdeadbeef])('a packet with mark %i (R-44)', (mark) => {
  it.each([4, 6] as const)('keeps it through every rewrite, IPv%i', (family) => {
    rig.serve(
      service('here', { frontends: [frontend(VIP[family], 80)], cluster: [backend(POD[family])] }),
      service('far', { frontends: [frontend(FAR[family], 80)], cluster: [remote(REMOTE_POD[family])] }),
      service('empty', { frontends: [frontend(EMPTY[family], 80)] }),
    );
    const to = (address: string, flags = 'S') => packet(CLIENT[family], address).tcp(40000, 80, flags).build();
    const steps: [string, Outcome][] = [
      ['NEW_FLOW', rig.ingress(to(VIP[family]), { mark })],
      ['FORWARDED', rig.egress(packet(POD[family], CLIENT[family]).tcp(8080, 40000, 'S.').build(), { mark })],
      ['FORWARDED', rig.ingress(to(VIP[family], '.'), { mark })],
      ['NEW_FLOW', rig.ingress(to(FAR[family]), { mark })],
      ['REDIRECTED', rig.ingress(packet(REMOTE_POD[family], NODE[family]).tcp(8080, 40000, 'S.').build(), { mark })],
      ['REJECT_NO_BACKEND', rig.ingress(to(EMPTY[family]), { mark })],
    ];
    for (const [reason, out] of steps) {
      expect(out.reasons).toEqual([reason]);
      expect(out.mark, reason).toBe(mark);
    }
  });
});
