/** Which frontend answers, which list a client gets, and who may use a load balancer. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  FRONTEND_CLUSTER_IP,
  FRONTEND_EXTERNAL_IP,
  FRONTEND_HOST_ALLOWED,
  FRONTEND_LOAD_BALANCER,
  FRONTEND_NODE_PORT,
  FRONTEND_SNAT_HOST,
  FRONTEND_SNAT_OUTSIDE,
  FRONTEND_SNAT_POD,
  FRONTEND_SOURCE_RANGES,
} from '../../maps-schema/gen/codecs.ts';
import { packet } from '../support/packet/builder.ts';
import { BRIDGE, CLIENT, type DeviceName, NODE, NODE_SECOND, OTHER_POD, POD } from '../support/packet/network.ts';
import { createPacketRig, type PacketRig } from '../support/packet/rig.ts';
import { backend, frontend, service } from '../support/packet/services.ts';

const FAMILIES = [4, 6] as const;
const LB = { 4: '203.0.113.1', 6: '2001:db8:7::1' } as const;
const ANY = { 4: '0.0.0.0', 6: '::' } as const;
/** Where clients inside and outside the cluster are led to, when the lists differ. */
const INSIDE = { 4: '10.1.1.50', 6: 'fd00:1:1::50' } as const;
const OUTSIDE = { 4: '10.1.1.60', 6: 'fd00:1:1::60' } as const;
let rig: PacketRig;

beforeAll(async () => {
  rig = await createPacketRig();
});
afterAll(() => rig?.remove());

const syn = (from: string, to: string, dport: number) => packet(from, to).tcp(40000, dport).build();

describe.each(FAMILIES)('IPv%i: a NodePort', (family) => {
  beforeEach(() => {
    const flags = FRONTEND_NODE_PORT;
    rig.serve(
      service('node-port', { frontends: [frontend(ANY[family], 30080, { flags })], cluster: [backend(POD[family])] }),
      service('external-ip', {
        frontends: [frontend(NODE[family], 30090, { flags: FRONTEND_EXTERNAL_IP })],
        cluster: [backend(OTHER_POD[family])],
      }),
      service('same-port', { frontends: [frontend(ANY[family], 30090, { flags })], cluster: [backend(POD[family])] }),
    );
  });

  it.each([
    ['answers on an address marked for NodePorts', NODE[family], 30080, POD[family]],
    ['does not answer on an address that is only ours (R-53)', NODE_SECOND[family], 30080, undefined],
    ['does not answer on the bridge', BRIDGE[family], 30080, undefined],
    ['does not answer on a foreign address (R-59)', CLIENT[family], 30080, undefined],
    ['does not answer on another port', NODE[family], 30081, undefined],
    ['gives way to a frontend of the very address', NODE[family], 30090, OTHER_POD[family]],
  ] as const)('%s', (_, dialled, port, led) => {
    const out = rig.ingress(syn(CLIENT[family], dialled, port));
    expect(out.verdict).toBe('NEXT');
    expect(out.parsed().destination).toBe(led ?? dialled);
    expect(out.parsed().dport).toBe(led === undefined ? port : 8080);
  });

  it('does not answer on the unspecified address, under which its row stands (R-59)', () => {
    // Another address may have its hash: then packets to it are looked at.
    rig.maps.knownAddresses.view.fill(1);
    const out = rig.ingress(syn(CLIENT[family], ANY[family], 30080));
    expect(out.verdict).toBe('NEXT');
    expect(out.parsed().dport).toBe(30080);
    expect(rig.flows('halfOpenFlows')).toEqual([]);
  });

  it('answers with the address dialled', () => {
    rig.ingress(syn(CLIENT[family], NODE[family], 30080));
    const back = rig.egress(packet(POD[family], CLIENT[family]).tcp(8080, 40000, 'S.').build());
    expect(back.tuple()).toBe(`${NODE[family]} 30080 > ${CLIENT[family]} 40000`);
  });
});

describe.each(FAMILIES)('IPv%i: who asks', (family) => {
  const clients: readonly [string, string, DeviceName, 'POD' | 'HOST' | 'OUTSIDE'][] = [
    ['a client outside', CLIENT[family], 'node0', 'OUTSIDE'],
    ['a pod, by its device', OTHER_POD[family], 'pod0', 'POD'],
    ['a pod, by its address', family === 4 ? '10.1.2.9' : 'fd00:1:2::9', 'node0', 'POD'],
    ['the node', NODE[family], 'node0', 'HOST'],
    ['the node by its second address', NODE_SECOND[family], 'node0', 'HOST'],
    ['the node by its bridge address, inside the pods’ network (R-35, R-39)', BRIDGE[family], 'node0', 'POD'],
    ['a stranger by a device nobody described', CLIENT[family], 'strange', 'OUTSIDE'],
  ];
  const SNAT = { POD: FRONTEND_SNAT_POD, HOST: FRONTEND_SNAT_HOST, OUTSIDE: FRONTEND_SNAT_OUTSIDE } as const;

  it.each(clients)('%s', (_, client, device, source) => {
    for (const [name, flag] of Object.entries(SNAT)) {
      const flags = FRONTEND_CLUSTER_IP | flag;
      rig.serve(
        service('lists', {
          frontends: [frontend(LB[family], 80, { flags, external: 'local' })],
          cluster: [backend(INSIDE[family])],
          local: [backend(OUTSIDE[family])],
        }),
      );
      const own = client === NODE[family] || client === NODE_SECOND[family] || client === BRIDGE[family];
      const out = rig[own ? 'egress' : 'ingress'](syn(client, LB[family], 80), { device });
      expect(out.parsed().destination).toBe(source === 'OUTSIDE' ? OUTSIDE[family] : INSIDE[family]);
      // What the node sends itself is translated at once, by two entries whether its source is or not.
      if (own) expect(out.parsed().source).toBe(name === source ? BRIDGE[family] : client);
      else expect(rig.flows('halfOpenFlows')).toHaveLength(name === source ? 4 : 2);
    }
  });
});

describe('without detectLocalMode', () => {
  it('takes what comes in by a pod’s device for a pod, and nothing else (R-36)', async () => {
    rig.remove();
    rig = await createPacketRig({ detectPods4: 0, detectPods6: 0 });
    const flags = FRONTEND_CLUSTER_IP | FRONTEND_SNAT_POD;
    const spec = { cluster: [backend(INSIDE[4])], local: [backend(OUTSIDE[4])] };
    rig.serve(service('lists', { frontends: [frontend(LB[4], 80, { flags, external: 'local' })], ...spec }));
    const led = (device: DeviceName, port: number) =>
      rig.ingress(packet('10.1.1.9', LB[4]).tcp(port, 80).build(), { device }).parsed().destination;
    expect(led('node0', 40000)).toBe(OUTSIDE[4]);
    expect(led('pod0', 40001)).toBe(INSIDE[4]);
    rig.remove();
    rig = await createPacketRig();
  });
});

describe.each(FAMILIES)('IPv%i: loadBalancerSourceRanges', (family) => {
  const CLUSTER = { 4: '10.96.0.10', 6: 'fd00:10:96::a' } as const;
  const RANGES = {
    4: [
      { address: '198.51.100.0', bits: 29 },
      { address: '10.1.1.6', bits: 32 },
    ],
    6: [
      { address: '2001:db8:9::', bits: 64 },
      { address: 'fd00:1:1::6', bits: 128 },
    ],
  } as const;
  const inRange = family === 4 ? '198.51.100.7' : '2001:db8:9::7';
  const outOfRange = family === 4 ? '198.51.100.9' : '2001:db8:9:1::7';
  const lb = (more = 0) => frontend(LB[family], 80, { flags: FRONTEND_LOAD_BALANCER | FRONTEND_SOURCE_RANGES | more });
  const closed = (more = 0, cluster = [backend(POD[family])]) =>
    rig.serve(
      service('open', { frontends: [frontend(LB[family], 81)], cluster, sourceRanges: [] }),
      service('closed', {
        frontends: [lb(more), frontend(CLUSTER[family], 80)],
        cluster,
        sourceRanges: RANGES[family],
      }),
    );

  it.each([
    ['a source in a range', inRange, 'node0', LB[family], 80, true],
    ['a source outside (R-61)', outOfRange, 'node0', LB[family], 80, false],
    ['a pod in a range', OTHER_POD[family], 'pod0', LB[family], 80, true],
    ['a pod outside (R-62)', POD[family], 'pod0', LB[family], 80, false],
    ['a source outside, on the cluster IP (R-60)', outOfRange, 'node0', CLUSTER[family], 80, true],
    ['a source outside, on another Service of that address', outOfRange, 'node0', LB[family], 81, true],
    ['the load balancer’s own address (R-63)', LB[family], 'node0', LB[family], 80, false],
  ] as const)('%s', (_, client, device, dialled, port, allowed) => {
    closed();
    expect(rig.ingress(syn(client, dialled, port), { device })).toMatchObject(
      allowed ? { verdict: 'NEXT', reasons: ['NEW_FLOW'] } : { verdict: 'DROP', reasons: ['DROP_SOURCE_RANGE'] },
    );
  });

  it('the node outside', () => {
    closed();
    expect(rig.egress(syn(NODE[family], LB[family], 80)).reasons).toEqual(['DROP_SOURCE_RANGE']);
  });

  it('lets the load balancer’s own address in when a range holds the node (R-63)', () => {
    closed(FRONTEND_HOST_ALLOWED);
    expect(rig.ingress(syn(LB[family], LB[family], 80)).reasons).toEqual(['NEW_FLOW']);
    expect(rig.ingress(syn(outOfRange, LB[family], 80)).reasons).toEqual(['DROP_SOURCE_RANGE']);
  });

  it('drops before it refuses (R-64)', () => {
    closed(0, []);
    expect(rig.ingress(syn(outOfRange, LB[family], 80))).toMatchObject({ verdict: 'DROP' });
    expect(rig.ingress(syn(inRange, LB[family], 80)).reasons).toEqual(['REJECT_NO_BACKEND']);
  });

  it('leaves established flows alone when the ranges change (R-65)', () => {
    rig.serve(service('closed', { frontends: [frontend(LB[family], 80)], cluster: [backend(POD[family])] }));
    expect(rig.ingress(syn(outOfRange, LB[family], 80)).reasons).toEqual(['NEW_FLOW']);
    rig.change(service('closed', { frontends: [lb()], cluster: [backend(POD[family])], sourceRanges: RANGES[family] }));
    const next = packet(outOfRange, LB[family]);
    expect(rig.ingress(next.tcp(40000, 80, '.').build()).reasons).toEqual(['FORWARDED']);
    expect(rig.ingress(next.tcp(40001, 80, 'S').build()).reasons).toEqual(['DROP_SOURCE_RANGE']);
  });
});
