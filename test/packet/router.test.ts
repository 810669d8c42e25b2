/** Load-balancer addresses of ipMode Router: served while there is a backend, else left to routing. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  FRONTEND_EXTERNAL_DROP,
  FRONTEND_EXTERNAL_LOCAL,
  FRONTEND_INTERNAL_DROP,
  FRONTEND_LOAD_BALANCER,
  FRONTEND_ROUTER,
  FRONTEND_SOURCE_RANGES,
} from '../../maps-schema/gen/codecs.ts';
import { packet } from '../support/packet/builder.ts';
import { CLIENT, NODE, POD } from '../support/packet/network.ts';
import { createPacketRig, type PacketRig } from '../support/packet/rig.ts';
import { backend, frontend, service } from '../support/packet/services.ts';

const BALANCER = { 4: '203.0.113.1', 6: 'fd13::1' } as const;
const ROUTER = FRONTEND_LOAD_BALANCER | FRONTEND_ROUTER;
let rig: PacketRig;

beforeAll(async () => {
  rig = await createPacketRig();
});
afterAll(() => rig?.remove());

describe.each([4, 6] as const)('IPv%i (R-33)', (family) => {
  const frame = (port = 40000) => packet(CLIENT[family], BALANCER[family]).tcp(port, 80).build();
  const serveWith = (flags: number, backends: number, more = {}) =>
    rig.serve(
      service('router', {
        frontends: [frontend(BALANCER[family], 80, { flags, external: 'local' })],
        cluster: backends > 0 ? [backend(POD[family])] : [],
        local: backends > 1 ? [backend(POD[family])] : [],
        ...more,
      }),
    );
  const expectUntouched = (sent: Buffer, run: 'ingress' | 'egress', options = {}) => {
    const out = rig[run](Buffer.from(sent), options);
    expect(out).toMatchObject({ verdict: 'NEXT', reasons: [] });
    expect(out.frame.equals(sent)).toBe(true);
  };

  it('serves as a VIP while there is a backend', () => {
    serveWith(ROUTER | FRONTEND_EXTERNAL_LOCAL, 2);
    expect(rig.ingress(frame())).toMatchObject({ verdict: 'NEXT', reasons: ['NEW_FLOW'] });
  });

  it('leaves packets alone where a VIP refuses (R-28)', () => {
    serveWith(ROUTER, 0);
    expectUntouched(frame(), 'ingress');
    expectUntouched(packet(CLIENT[family], BALANCER[family]).udp(40000, 80).build(), 'ingress');
    expectUntouched(packet(NODE[family], BALANCER[family]).tcp(40000, 80).build(), 'egress');
    serveWith(FRONTEND_LOAD_BALANCER, 0);
    expect(rig.ingress(frame()).reasons).toEqual(['REJECT_NO_BACKEND']);
  });

  it('leaves packets alone where a VIP drops (R-30), and serves the cluster', () => {
    const dropping = FRONTEND_EXTERNAL_LOCAL | FRONTEND_EXTERNAL_DROP;
    serveWith(ROUTER | dropping, 1);
    expectUntouched(frame(), 'ingress');
    const inside = packet(NODE[family], BALANCER[family]).tcp(40001, 80).build();
    expect(rig.egress(inside).reasons).toEqual(['NEW_FLOW']);
    serveWith(FRONTEND_LOAD_BALANCER | dropping | FRONTEND_INTERNAL_DROP, 1);
    expect(rig.ingress(frame()).reasons).toEqual(['DROP_NO_LOCAL_BACKEND']);
  });

  it('drops sources outside the ranges all the same (R-61, R-64)', () => {
    serveWith(ROUTER | FRONTEND_SOURCE_RANGES, 0);
    expect(rig.ingress(frame()).reasons).toEqual(['DROP_SOURCE_RANGE']);
  });
});
