/** Frames for another host, which a promiscuous device lets in while switches flood, are none of ours. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEVICE_OTHER_MACS } from '../../maps-schema/gen/codecs.ts';
import { type PacketBuilder, packet } from '../support/packet/builder.ts';
import { CLIENT, MACS, NODE, POD, REMOTE_POD } from '../support/packet/network.ts';
import { createPacketRig, type PacketRig, WAYS } from '../support/packet/rig.ts';
import { backend, frontend, remote, service } from '../support/packet/services.ts';

const VIP = { 4: '203.0.113.1', 6: 'fd13::1' } as const;
const NEAR = { 4: '203.0.113.2', 6: 'fd13::2' } as const;
/** Of a host beside the node; of everybody; of several; of a virtual router. */
const OTHERS = ['02:00:00:00:77:77', 'ff:ff:ff:ff:ff:ff', '01:00:5e:00:00:12'] as const;
const VIRTUAL_ROUTER = '00:00:5e:00:01:07';

describe.each(WAYS)('by %s', (way) => {
  let rig: PacketRig;
  beforeAll(async () => {
    rig = await createPacketRig({}, way);
    rig.serve(
      ...([4, 6] as const).flatMap((family) => [
        service(`far-${family}`, { frontends: [frontend(VIP[family], 80)], cluster: [remote(REMOTE_POD[family])] }),
        service(`near-${family}`, { frontends: [frontend(NEAR[family], 80)], cluster: [backend(POD[family])] }),
      ]),
    );
  });
  afterAll(() => rig?.remove());

  const to = (mac: string, built: PacketBuilder) => built.macs('02:00:00:00:00:aa', mac).build();

  describe.each([4, 6] as const)('IPv%i', (family) => {
    it.each([VIP, NEAR])('what is for another host begins nothing', (vip) => {
      rig.forgetFlows();
      for (const mac of OTHERS) {
        const frame = to(mac, packet(CLIENT[family], vip[family]).tcp(40_000, 80, 'S'));
        const outcome = rig.ingress(frame);
        expect([outcome.verdict, outcome.frame.equals(frame), outcome.reasons]).toEqual(['NEXT', true, []]);
      }
      expect([...rig.flows('flows'), ...rig.flows('halfOpenFlows')]).toEqual([]);
      expect(rig.ingress(to(MACS.node, packet(CLIENT[family], vip[family]).tcp(40_000, 80, 'S'))).reasons).toEqual([
        'NEW_FLOW',
      ]);
    });

    it('nor does a flow have it, an error about it, a ping or a piece', () => {
      rig.forgetFlows();
      const syn = rig.ingress(packet(CLIENT[family], VIP[family]).tcp(40_000, 80, 'S').build());
      rig.ingress(packet(REMOTE_POD[family], NODE[family]).tcp(8080, 40_000, 'S.').build());
      rig.ingress(packet(CLIENT[family], VIP[family]).tcp(40_000, 80, '.').build());
      const next = () => packet(CLIENT[family], VIP[family]).tcp(40_000, 80, '.').payload('odd');
      expect(rig.ingress(next().build()).verdict).toBe('REDIRECT');
      const error = packet(REMOTE_POD[family], NODE[family])
        .icmp(family === 4 ? 3 : 1, family === 4 ? 3 : 4)
        .payload(syn.frame.subarray(14));
      for (const mac of OTHERS) {
        for (const built of [next(), error, packet(CLIENT[family], VIP[family]).ping()]) {
          const frame = to(mac, built);
          const outcome = rig.ingress(frame);
          expect([outcome.verdict, outcome.frame.equals(frame), outcome.reasons]).toEqual(['NEXT', true, []]);
        }
      }
    });
  });

  it('what is for a device of this node on the one that it came by is ours', () => {
    rig.forgetFlows();
    const [first, ...others] = rig.node.devices;
    if (first === undefined) throw new Error('no device');
    const { device } = first;
    const frame = to(VIRTUAL_ROUTER, packet(CLIENT[4], VIP[4]).tcp(40_000, 80, 'S'));
    expect(rig.ingress(frame).verdict).toBe('NEXT');
    rig.tables.applyNodeTables({
      ...rig.node,
      devices: [{ ...first, device: { ...device, flags: device.flags | DEVICE_OTHER_MACS } }, ...others],
    });
    try {
      expect(rig.ingress(frame)).toMatchObject({ verdict: 'REDIRECT', reasons: ['NEW_FLOW'], hook: 'tc' });
    } finally {
      rig.tables.applyNodeTables(rig.node);
    }
  });

  it('between pods on a bridge a Service’s answer has the MAC address of the other pod', () => {
    rig.forgetFlows();
    const frame = to('02:00:00:00:77:77', packet(POD[4], NEAR[4]).tcp(40_000, 80, 'S'));
    expect(rig.ingress(frame, { device: 'pod0' }).reasons).toEqual(['NEW_FLOW']);
  });
});
