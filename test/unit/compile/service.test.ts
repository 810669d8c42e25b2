import { describe, expect, test } from 'vitest';
import { CREATED_UNKNOWN } from '../../../src/compile/service.ts';
import { endpoint, nodeContext, service, slice } from './objects.ts';
import { addresses, compile, compilePort, flagNames, frontend } from './support.ts';

const dualStack = {
  clusterIP: '10.96.0.10',
  clusterIPs: ['10.96.0.10', 'fd00:10:96::a'],
  ipFamilies: ['IPv4', 'IPv6'],
};
const families = (object: unknown) => compile(object)?.ports.map((port) => port.family);

describe('which Services are served', () => {
  test('R-1: a Service without cluster IP or of type ExternalName is ignored', () => {
    expect(compile(service({ clusterIP: 'None' }))).toBeUndefined();
    expect(compile(service({ clusterIP: '' }))).toBeUndefined();
    expect(compile(service({ clusterIPs: ['None'], clusterIP: undefined }))).toBeUndefined();
    expect(compile(service({ type: 'ExternalName', externalName: 'example.org' }))).toBeUndefined();
    expect(compile(service())?.ports).toHaveLength(1);
  });

  test('R-2: the label service-proxy-name leaves a Service to another proxy, unless the name is ours', () => {
    const labelled = service({}, { labels: { 'service.kubernetes.io/service-proxy-name': 'other' } });
    expect(compile(labelled)).toBeUndefined();
    expect(compile(labelled, [], nodeContext({ serviceProxyName: 'other' }))?.ports).toHaveLength(1);
    const empty = service({}, { labels: { 'service.kubernetes.io/service-proxy-name': '' } });
    expect(compile(empty)).toBeUndefined();
  });

  test('R-3: the label headless leaves a Service out', () => {
    expect(compile(service({}, { labels: { 'service.kubernetes.io/headless': '' } }))).toBeUndefined();
  });
});

describe('addresses', () => {
  test('R-12: each family takes its own cluster IP, external IPs, ingress and source ranges', () => {
    const object = service(
      {
        ...dualStack,
        type: 'LoadBalancer',
        externalIPs: ['198.51.100.1', '2001:db8::1'],
        loadBalancerSourceRanges: ['192.0.2.0/24'],
      },
      { ingress: [{ ip: '203.0.113.1' }, { ip: '2001:db8::2' }] },
    );
    const [v4, v6] = compile(object)?.ports ?? [];
    expect(v4?.frontends.map((f) => f.address)).toEqual(['10.96.0.10', '198.51.100.1', '203.0.113.1']);
    expect(v4?.sourceRanges).toEqual([{ address: '192.0.2.0', bits: 24 }]);
    expect(v6?.frontends.map((f) => f.address)).toEqual(['fd00:10:96::a', '2001:db8::1', '2001:db8::2']);
    expect(v6?.sourceRanges).toEqual([]);
  });

  test('R-12: a family without cluster IP is not served, whatever else names it', () => {
    const object = service({ externalIPs: ['2001:db8::1'], ports: [{ port: 80, nodePort: 30080 }] });
    expect(families(object)).toEqual(['IPv4']);
    expect(families(service({ ...dualStack, clusterIPs: ['fd00:10:96::a', '10.96.0.10'] }))).toEqual(['IPv4', 'IPv6']);
    expect(compile(service(dualStack), [], nodeContext({ families: ['IPv6'] }))?.ports.map((p) => p.family)).toEqual([
      'IPv6',
    ]);
  });

  test('R-13: an ingress address counts with ipMode VIP or none', () => {
    const ingress = [
      { ip: '203.0.113.1' },
      { ip: '203.0.113.2', ipMode: 'VIP' },
      { ip: '203.0.113.3', ipMode: 'Proxy' },
      { ip: '203.0.113.4', ipMode: 'Router' },
    ];
    const port = compilePort(service({ type: 'LoadBalancer' }, { ingress }));
    expect(port.frontends.slice(1).map((f) => f.address)).toEqual(['203.0.113.1', '203.0.113.2']);
  });

  test('R-33: with the gate, ipMode Router counts and is marked, unless something else has the address', () => {
    const ingress = [
      { ip: '203.0.113.4', ipMode: 'Router' },
      { ip: '203.0.113.5', ipMode: 'Router' },
      { ip: '203.0.113.3', ipMode: 'Proxy' },
    ];
    const spec = { type: 'LoadBalancer', externalIPs: ['203.0.113.5'] };
    const port = compilePort(service(spec, { ingress }), [], nodeContext({ routerIpMode: true }));
    const isRouter = (address: string) => flagNames(frontend(port, address)?.flags).includes('ROUTER');
    expect(
      port.frontends
        .map(({ address }) => address)
        .slice(1)
        .sort(),
    ).toEqual(['203.0.113.4', '203.0.113.5']);
    expect([isRouter('203.0.113.4'), isRouter('203.0.113.5')]).toEqual([true, false]);
    const without = compilePort(service(spec, { ingress }));
    expect(without.frontends.map(({ address }) => address).slice(1)).toEqual(['203.0.113.5']);
  });

  test('R-14: a host name in the ingress is ignored', () => {
    const result = compile(service({ type: 'LoadBalancer' }, { ingress: [{ hostname: 'lb.example.org' }] }));
    expect(result?.ports[0]?.frontends).toHaveLength(1);
    expect(result?.problems).toEqual([]);
  });

  test('R-53: a NodePort has the wildcard address of each family', () => {
    const result = compile(service({ ...dualStack, type: 'NodePort', ports: [{ port: 80, nodePort: 30080 }] }));
    expect(result?.ports.map((port) => port.frontends[1]).map((f) => [f?.address, f?.port])).toEqual([
      ['0.0.0.0', 30080],
      ['::', 30080],
    ]);
  });

  test('addresses are canonical', () => {
    const port = compilePort(service({ clusterIP: 'FD00:10:96:0::0A' }));
    expect(port.frontends[0]?.address).toBe('fd00:10:96::a');
  });
});

describe('ports', () => {
  test('R-15: protocols on one number are separate frontends', () => {
    const ports = ['TCP', 'UDP', 'SCTP'].map((protocol) => ({
      name: `dns-${protocol.toLowerCase()}`,
      port: 53,
      protocol,
    }));
    const result = compile(service({ ports }));
    expect(result?.ports.map((p) => [p.protocol, p.frontends[0]?.port])).toEqual([
      ['TCP', 53],
      ['UDP', 53],
      ['SCTP', 53],
    ]);
    expect(result?.problems).toEqual([]);
  });

  test('R-6: one port name with two protocols is two ports, each with the endpoints of its own protocol', () => {
    const object = service({
      ports: [
        { name: 'dns', port: 53, protocol: 'TCP' },
        { name: 'dns', port: 53, protocol: 'UDP' },
      ],
    });
    const ports = [{ name: 'dns', port: 5353, protocol: 'UDP' }];
    const result = compile(object, [slice([endpoint('10.1.0.1')], { ports })]);
    expect(result?.ports.map((p) => addresses(p, 'cluster'))).toEqual([[], ['10.1.0.1:5353']]);
  });

  test('R-11: appProtocol changes nothing', () => {
    const slices = [slice([endpoint('10.1.0.1')])];
    const plain = compile(service(), slices);
    expect(
      compile(
        service({ ports: [{ name: 'http', port: 80, protocol: 'TCP', appProtocol: 'kubernetes.io/h2c' }] }),
        slices,
      ),
    ).toEqual(plain);
  });

  test('an address that is external IP and ingress at once is one frontend of both kinds', () => {
    const object = service(
      { type: 'LoadBalancer', externalIPs: ['203.0.113.1'] },
      { ingress: [{ ip: '203.0.113.1' }] },
    );
    const result = compile(object);
    expect(result?.ports[0]?.frontends).toHaveLength(2);
    expect((frontend(result?.ports[0], '203.0.113.1')?.flags ?? 0) & 12).toBe(12);
    expect(result?.problems).toEqual([]);
  });
});

describe('affinity', () => {
  const seconds = (config: unknown) =>
    compilePort(service({ sessionAffinity: 'ClientIP', sessionAffinityConfig: config })).affinitySeconds;

  test('R-46: ClientIP affinity lasts timeoutSeconds, 10800 by default', () => {
    expect(compilePort(service()).affinitySeconds).toBe(0);
    expect(compilePort(service({ sessionAffinity: 'None' })).affinitySeconds).toBe(0);
    expect(seconds(undefined)).toBe(10800);
    expect(seconds({ clientIP: { timeoutSeconds: 1 } })).toBe(1);
    expect(seconds({ clientIP: { timeoutSeconds: 86400 } })).toBe(86400);
    expect(seconds({ clientIP: { timeoutSeconds: 86401 } })).toBe(10800);
    expect(seconds({ clientIP: { timeoutSeconds: '60' } })).toBe(10800);
  });

  test('R-47: one ServicePort holds all its frontends, so that they share affinity', () => {
    const object = service({
      sessionAffinity: 'ClientIP',
      externalIPs: ['198.51.100.1'],
      ports: [
        { name: 'http', port: 80, nodePort: 30080 },
        { name: 'alt', port: 81 },
      ],
    });
    const result = compile(object);
    expect(result?.ports.map((p) => [p.portName, p.frontends.length, p.affinitySeconds])).toEqual([
      ['http', 3, 10800],
      ['alt', 2, 10800],
    ]);
  });
});

describe('times', () => {
  test('R-95: the creation time is in milliseconds; one that cannot be read is the youngest', () => {
    expect(compile(service())?.created).toBe(Date.UTC(2026, 0, 1));
    expect(compile(service({}, { created: 'yesterday' }))?.created).toBe(CREATED_UNKNOWN);
    expect(compile(service({}, { created: 'yesterday' }))?.problems).toHaveLength(1);
  });

  test('R-83: the latest last-change-trigger-time of the slices', () => {
    const at = (time: string) =>
      slice([], { annotations: { 'endpoints.kubernetes.io/last-change-trigger-time': time } });
    expect(
      compile(service(), [at('2026-01-02T00:00:00Z'), at('2026-01-03T00:00:00.5Z'), at('soon')])?.lastChangeTrigger,
    ).toBe(Date.UTC(2026, 0, 3) + 500);
    expect(compile(service(), [at('soon')])?.lastChangeTrigger).toBeUndefined();
  });
});
