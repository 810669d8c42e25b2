/** A flow goes on by devices from which its packets can come; a forged packet does not take it over. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type PacketBuilder, packet } from '../support/packet/builder.ts';
import { BRIDGE, CLIENT, NODE, POD, REMOTE_POD } from '../support/packet/network.ts';
import { createPacketRig, type PacketRig, type RunOptions } from '../support/packet/rig.ts';
import { backend, frontend, remote, service } from '../support/packet/services.ts';

const FAR = { 4: '203.0.113.1', 6: 'fd13::1' } as const;
const NEAR = { 4: '203.0.113.2', 6: 'fd13::2' } as const;
const FAMILIES = [4, 6] as const;
const PROTOCOLS = ['tcp', 'udp', 'sctp'] as const;
const FORGED = { verdict: 'DROP', reasons: ['DROP_SOURCE'] };

let rig: PacketRig;
beforeAll(async () => {
  rig = await createPacketRig();
});
afterAll(() => rig?.remove());
beforeEach(() =>
  rig.serve(
    ...FAMILIES.flatMap((family) =>
      PROTOCOLS.flatMap((proto) => {
        const protocol = proto.toUpperCase() as 'TCP' | 'UDP' | 'SCTP';
        return [
          service(`far-${proto}-${family}`, {
            protocol,
            frontends: [frontend(FAR[family], 80)],
            cluster: [remote(REMOTE_POD[family])],
          }),
          service(`near-${proto}-${family}`, {
            protocol,
            frontends: [frontend(NEAR[family], 80)],
            cluster: [backend(POD[family])],
          }),
        ];
      }),
    ),
  ),
);

describe.each(FAMILIES.flatMap((family) => PROTOCOLS.map((proto) => ({ family, proto }))))('IPv$family, $proto', ({
  family,
  proto,
}) => {
  const make = (from: string, to: string, sport: number, dport: number, first: boolean): PacketBuilder => {
    const built = packet(from, to);
    if (proto === 'udp') return built.udp(sport, dport);
    return proto === 'tcp' ? built.tcp(sport, dport, first ? 'S' : '.') : built.sctp(sport, dport, { init: first });
  };
  const there = (vip: string, first = false, from: string = CLIENT[family]) =>
    make(from, vip, 40_000, 80, first).payload('an odd one').build();
  const back = (from: string, to: string) => make(from, to, 8080, 40_000, false).payload('an odd one').build();

  it.each(['half-open', 'established'])('a pod that forges the client’s address is told from it, %s', (state) => {
    expect(rig.ingress(there(FAR[family], true)).reasons).toEqual(['NEW_FLOW']);
    if (state === 'established') {
      rig.ingress(back(REMOTE_POD[family], NODE[family]));
      rig.ingress(there(FAR[family]));
      expect(rig.flows('flows')).not.toEqual([]);
    }
    expect(rig.ingress(there(FAR[family]), { device: 'pod0' })).toMatchObject(FORGED);
    // Another way by which the client may come: one that nobody says anything about.
    for (const device of ['strange', 'node0', 'node0'] as const)
      expect(rig.ingress(there(FAR[family]), { device }).reasons).toEqual(['REDIRECTED']);
  });

  it('a pod that forges the answers of a backend elsewhere is told from it', () => {
    rig.ingress(there(FAR[family], true));
    const forged = back(REMOTE_POD[family], NODE[family]);
    expect(rig.ingress(forged, { device: 'pod0' })).toMatchObject(FORGED);
    for (let i = 0; i < 2; i++) expect(rig.ingress(forged).reasons).toEqual(['REDIRECTED']);
  });

  it('a host outside that forges a pod’s address is told from it', () => {
    const inPod: RunOptions = { device: 'pod0' };
    expect(rig.ingress(there(FAR[family], true, POD[family]), inPod).reasons).toEqual(['NEW_FLOW']);
    expect(rig.ingress(there(FAR[family], false, POD[family]))).toMatchObject(FORGED);
    expect(rig.ingress(there(FAR[family], false, POD[family]), inPod).reasons).toEqual(['FORWARDED']);
  });

  it('nor is a forged packet of no connection answered', () => {
    if (proto === 'udp') return;
    expect(rig.ingress(there(FAR[family]), { device: 'pod0' })).toMatchObject(FORGED);
  });

  it('and one that forges the answers of a backend here', () => {
    rig.ingress(there(NEAR[family], true, POD[family]), { device: 'pod0' });
    const answer = back(POD[family], BRIDGE[family]);
    expect(rig.ingress(answer)).toMatchObject(FORGED);
  });
});
