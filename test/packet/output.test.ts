/** What the node's own processes send past the socket hook is served where it leaves. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  FLOW_OUTPUT,
  FRONTEND_CLUSTER_IP,
  FRONTEND_INTERNAL_DROP,
  FRONTEND_SNAT_HOST,
  FRONTEND_SNAT_POD,
} from '../../maps-schema/gen/codecs.ts';
import type { Backend } from '../../src/model/compiled.ts';
import { packet } from '../support/packet/builder.ts';
import { BRIDGE, MACS, NODE, NODE_SECOND, POD, REMOTE_POD } from '../support/packet/network.ts';
import { createPacketRig, type PacketRig } from '../support/packet/rig.ts';
import { backend, frontend, type PortSpec, remote, service } from '../support/packet/services.ts';

const VIP = { 4: '10.96.0.10', 6: 'fd00:10:96::a' } as const;
const FAMILIES = [4, 6] as const;
const PROTOCOLS = ['tcp', 'udp', 'sctp'] as const;
type Proto = (typeof PROTOCOLS)[number];
let rig: PacketRig;

beforeAll(async () => {
  rig = await createPacketRig();
});
afterAll(() => rig?.remove());

const make = (proto: Proto, from: string, to: string, sport: number, dport: number, flags = 'S') =>
  (proto === 'tcp'
    ? packet(from, to).tcp(sport, dport, flags)
    : proto === 'sctp'
      ? packet(from, to).sctp(sport, dport, { init: flags === 'S' })
      : packet(from, to).udp(sport, dport)
  )
    .payload('abcdefg')
    .build();

describe.each(FAMILIES)('IPv%i', (family) => {
  const [node, vip] = [NODE[family], VIP[family]];
  const serve = (proto: Proto, spec: Partial<PortSpec> & { flags?: number; internal?: 'local' }) => {
    const { flags = FRONTEND_CLUSTER_IP, internal = 'cluster', ...rest } = spec;
    const protocol = proto.toUpperCase() as 'TCP' | 'UDP' | 'SCTP';
    rig.serve(service('output', { protocol, frontends: [frontend(vip, 80, { flags, internal })], ...rest }));
  };

  describe.each(PROTOCOLS)('%s', (proto) => {
    const there = (from: string, flags = 'S', sport = 40000) => make(proto, from, vip, sport, 80, flags);

    it('an address of the node inside the pods’ network counts as a pod’s (R-35)', () => {
      const to = remote(REMOTE_POD[family]);
      for (const [flags, source] of [
        [FRONTEND_SNAT_HOST, BRIDGE[family]],
        [FRONTEND_SNAT_POD, NODE[family]],
      ] as const) {
        serve(proto, { cluster: [to], flags: FRONTEND_CLUSTER_IP | flags });
        expect(rig.egress(there(BRIDGE[family])).tuple()).toBe(`${source} 40000 > ${to.address} 8080`);
      }
    });

    it.each([
      ['elsewhere', remote(REMOTE_POD[family]), NODE[family], 'node0', MACS.neighbour],
      ['here', backend(POD[family]), BRIDGE[family], 'pod0', MACS.pod],
    ] as const)('a backend %s: there past the stack, and back up the stack (R-96)', (_, to: Backend, own, device, mac) => {
      for (const snat of [false, true]) {
        serve(proto, { cluster: [to], flags: FRONTEND_CLUSTER_IP | (snat ? FRONTEND_SNAT_HOST : 0) });
        // Routing to the VIP chose another address of the node; source NAT takes that of the device.
        const client = NODE_SECOND[family];
        const source = snat ? own : client;
        for (const reason of ['NEW_FLOW', 'REDIRECTED']) {
          const out = rig.egress(there(client));
          expect(out).toMatchObject({ verdict: 'REDIRECT', reasons: [reason] });
          expect(out.tuple()).toBe(`${source} 40000 > ${to.address} 8080`);
          expect(out.parsed().dmac).toBe(mac);
        }
        const back = rig.ingress(make(proto, to.address, source, 8080, 40000, 'S.'), { device });
        expect(back).toMatchObject({ verdict: 'NEXT', reasons: ['FORWARDED'] });
        expect(back.tuple()).toBe(`${vip} 80 > ${client} 40000`);
        expect(back.parsed().ttl).toBe(64);
        expect(rig.flows('halfOpenFlows')).toHaveLength(2);
        rig.egress(there(client, '.'));
        expect(rig.flows('halfOpenFlows')).toEqual([]);
        const flags = rig.flows('flows').map(({ flow }) => flow.flags & FLOW_OUTPUT);
        expect(flags.sort()).toEqual([0, FLOW_OUTPUT]);
        expect(rig.ingress(make(proto, to.address, source, 8080, 40000, '.'), { device }).tuple()).toBe(
          `${vip} 80 > ${client} 40000`,
        );
      }
    });

    it('without endpoints: refused, and the answer is for the node (R-28)', () => {
      serve(proto, {});
      const out = rig.egress(there(node));
      expect(out).toMatchObject({ verdict: 'REDIRECT', reasons: ['REJECT_NO_BACKEND'] });
      const { source, destination, proto: answer, l4 } = out.parsed();
      expect({ source, destination }).toEqual({ source: vip, destination: node });
      const unreachable = family === 4 ? [1, 3, 3] : [58, 1, 4];
      expect([answer, l4[0], l4[1]]).toEqual(proto === 'tcp' ? [6, 0, 80] : unreachable);
      expect(rig.flows('halfOpenFlows')).toEqual([]);
    });

    it('an internal Local policy without a local endpoint: dropped in silence (R-29)', () => {
      serve(proto, {
        cluster: [remote(REMOTE_POD[family])],
        internal: 'local',
        flags: FRONTEND_CLUSTER_IP | FRONTEND_INTERNAL_DROP,
      });
      const sent = there(node);
      const out = rig.egress(Buffer.from(sent));
      expect(out).toMatchObject({ verdict: 'DROP', reasons: ['DROP_NO_LOCAL_BACKEND'] });
      expect(out.frame.equals(sent)).toBe(true);
    });

    it('begins anew when its backend is gone', () => {
      serve(proto, { cluster: [remote(REMOTE_POD[family])] });
      expect(rig.egress(there(node)).parsed().destination).toBe(REMOTE_POD[family]);
      const protocol = proto.toUpperCase() as 'TCP' | 'UDP' | 'SCTP';
      rig.change(service('output', { protocol, frontends: [frontend(vip, 80)], cluster: [backend(POD[family])] }));
      const again = rig.egress(there(node)).parsed().destination;
      // An association of SCTP goes on until it is idle: no packet tells that the client begins anew.
      expect(again).toBe(proto === 'sctp' ? REMOTE_POD[family] : POD[family]);
    });
  });
});
