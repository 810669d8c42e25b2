/** Addresses of a ServiceCIDR that no Service has: dropped where packets to them leave. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  CONTROL_SERVICE_CIDRS4,
  CONTROL_SERVICE_CIDRS6,
  FRONTEND_LOAD_BALANCER,
} from '../../maps-schema/gen/codecs.ts';
import { packet } from '../support/packet/builder.ts';
import { CLIENT, NODE, POD } from '../support/packet/network.ts';
import { createPacketRig, type PacketRig, type RunOptions } from '../support/packet/rig.ts';
import { knowServiceCidrs } from '../support/packet/service-cidrs.ts';
import { backend, frontend, service } from '../support/packet/services.ts';

const FREE = { 4: '10.96.7.7', 6: 'fd00:10:96::77' } as const;
const TAKEN = { 4: '10.96.0.10', 6: 'fd00:10:96::a' } as const;
const ELSEWHERE = { 4: '10.97.0.1', 6: 'fd00:10:97::1' } as const;
const FAMILIES = [4, 6] as const;
const DROPPED = { verdict: 'DROP', reasons: ['DROP_UNALLOCATED'] };
const LEFT_ALONE = { verdict: 'NEXT', reasons: [] };
let rig: PacketRig;

beforeAll(async () => {
  rig = await createPacketRig();
});
afterAll(() => rig?.remove());

beforeEach(() => knowServiceCidrs(rig));

describe.each(FAMILIES)('IPv%i (R-32)', (family) => {
  beforeAll(() => {
    rig.serve(
      service('taken', { frontends: [frontend(TAKEN[family], 80)], cluster: [backend(POD[family])] }),
      service('balancer', {
        frontends: [frontend(FREE[family].replace(/7$/, '8'), 80, { flags: FRONTEND_LOAD_BALANCER })],
        cluster: [backend(POD[family])],
      }),
    );
  });

  const to = (address: string, from: string = CLIENT[family]) => packet(from, address);
  const PATHS: readonly (readonly [string, string, RunOptions])[] = [
    ['from a pod, out by a node device', POD[family], { from: 'pod0' }],
    ['from outside, out by a node device', CLIENT[family], { from: 'node0' }],
    ['from outside, out by a pod device', CLIENT[family], { from: 'node0', device: 'pod0' }],
    ['from a process of the node', NODE[family], {}],
  ];

  it.each(PATHS)('what begins something is dropped, %s', (_, client, options) => {
    const frames = [
      to(FREE[family], client).tcp(40000, 80),
      to(FREE[family], client).udp(40000, 53),
      to(FREE[family], client).sctp(40000, 80),
      to(FREE[family], client).ping(7),
    ];
    for (const frame of frames) expect(rig.egress(frame.build(), options)).toMatchObject(DROPPED);
    expect(rig.counters().DROP_UNALLOCATED?.bytes).toBeGreaterThan(0);
  });

  it.each(PATHS)('the rest is left alone, %s', (_, client, options) => {
    const frames = [
      to(ELSEWHERE[family], client).tcp(40000, 80),
      to(ELSEWHERE[family], client).udp(40000, 53),
      to(FREE[family], client).tcp(40000, 80, '.'),
      to(FREE[family].replace(/7$/, '8'), client).tcp(40001, 81),
    ].map((frame) => frame.build());
    for (const frame of frames) {
      const out = rig.egress(Buffer.from(frame), options);
      expect(out).toMatchObject(LEFT_ALONE);
      expect(out.frame.equals(frame)).toBe(true);
    }
  });

  it('an address that a Service has is served and refused as ever', () => {
    const host = NODE[family];
    expect(rig.ingress(to(TAKEN[family]).tcp(40002, 80).build()).reasons).toEqual(['NEW_FLOW']);
    expect(rig.egress(to(TAKEN[family], host).tcp(40002, 81).build()).reasons).toEqual(['REJECT_NO_PORT']);
  });

  it('nothing is looked up while no ServiceCIDR of the family is known', () => {
    knowServiceCidrs(rig, family === 4 ? CONTROL_SERVICE_CIDRS6 : CONTROL_SERVICE_CIDRS4);
    for (const [, client, options] of PATHS)
      expect(rig.egress(to(FREE[family], client).udp(40000, 53).build(), options)).toMatchObject(LEFT_ALONE);
  });

  it('where packets come in they pass: another proxy may have the Service', () => {
    expect(rig.ingress(to(FREE[family]).tcp(40000, 80).build())).toMatchObject(LEFT_ALONE);
  });
});
