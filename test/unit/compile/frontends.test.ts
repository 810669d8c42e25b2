import { describe, expect, test } from 'vitest';
import type { NodeContext } from '../../../src/compile/context.ts';
import { endpoint, nodeContext, service, slice, TERMINATING } from './objects.ts';
import { compile, compilePort, flagNames, frontend, snat } from './support.ts';

const EXTERNAL = '198.51.100.1';
const INGRESS = '203.0.113.1';
const everything = {
  type: 'LoadBalancer',
  externalIPs: [EXTERNAL],
  ports: [{ name: 'http', port: 80, nodePort: 30080 }],
};
const of = (spec: object, context?: NodeContext) =>
  compilePort(
    service({ ...everything, ...spec }, { ingress: [{ ip: INGRESS }] }),
    [slice([endpoint('10.1.0.1', { on: 'here' })])],
    context,
  );
const snats = (spec: object, address: string, context?: NodeContext) => snat(frontend(of(spec, context), address));

describe('whose source is translated', () => {
  test('R-35: a cluster IP keeps the address of pods and translates all others', () => {
    expect(snats({}, '10.96.0.10')).toEqual(['HOST', 'OUTSIDE']);
  });

  test('R-35: masqueradeAll translates everyone, on cluster IPs alone', () => {
    const context = nodeContext({ masqueradeAll: true });
    expect(snats({}, '10.96.0.10', context)).toEqual(['POD', 'HOST', 'OUTSIDE']);
    expect(snats({ externalTrafficPolicy: 'Local' }, EXTERNAL, context)).toEqual(['HOST']);
  });

  test('R-36: where pods cannot be told from others, a cluster IP translates nobody', () => {
    const context = nodeContext({ detectLocal: { IPv4: false, IPv6: true } });
    expect(snats({}, '10.96.0.10', context)).toEqual([]);
    expect(snats({ clusterIP: 'fd00:10:96::a' }, 'fd00:10:96::a', context)).toEqual(['HOST', 'OUTSIDE']);
    expect(snats({}, '10.96.0.10', { ...context, masqueradeAll: true })).toEqual(['POD', 'HOST', 'OUTSIDE']);
  });

  test.each([EXTERNAL, INGRESS, '0.0.0.0'])('R-37: with eTP Cluster %s translates everyone', (address) => {
    expect(snats({}, address)).toEqual(['POD', 'HOST', 'OUTSIDE']);
  });

  test.each([
    EXTERNAL,
    INGRESS,
    '0.0.0.0',
  ])('R-38: with eTP Local %s leaves clients outside their address', (address) => {
    expect(snats({ externalTrafficPolicy: 'Local' }, address)).not.toContain('OUTSIDE');
  });

  test.each([
    EXTERNAL,
    INGRESS,
    '0.0.0.0',
  ])('R-39: with eTP Local %s translates the node itself and not its pods', (address) => {
    expect(snats({ externalTrafficPolicy: 'Local' }, address)).toEqual(['HOST']);
  });

  test('R-43: eTP changes nothing on a cluster IP', () => {
    expect(frontend(of({ externalTrafficPolicy: 'Local' }), '10.96.0.10')).toEqual(frontend(of({}), '10.96.0.10'));
    expect(frontend(of({ internalTrafficPolicy: 'Local' }), EXTERNAL)).toEqual(frontend(of({}), EXTERNAL));
  });
});

describe('source ranges', () => {
  const ranges = (list: unknown, context?: NodeContext) => of({ loadBalancerSourceRanges: list }, context);
  const flags = (list: unknown, address = INGRESS, context?: NodeContext) =>
    flagNames(frontend(ranges(list, context), address)?.flags).filter(
      (name) => name === 'SOURCE_RANGES' || name === 'HOST_ALLOWED',
    );

  test('R-60: source ranges guard load-balancer addresses alone', () => {
    const list = [' 10.0.0.0/8 ', '172.16.5.4/12', '10.0.0.0/8'];
    expect(ranges(list).sourceRanges).toEqual([
      { address: '10.0.0.0', bits: 8 },
      { address: '172.16.0.0', bits: 12 },
    ]);
    expect(flags(list)).toEqual(['SOURCE_RANGES']);
    expect(flags(list, '10.96.0.10')).toEqual([]);
    expect(flags(list, EXTERNAL)).toEqual([]);
  });

  test('R-58: a NodePort is not subject to source ranges', () => {
    expect(flags(['10.0.0.0/8'], '0.0.0.0')).toEqual([]);
  });

  test('R-60: without ranges of its family an address is open', () => {
    expect(flags([])).toEqual([]);
    expect(flags(undefined)).toEqual([]);
    expect(flags(['2001:db8::/32'])).toEqual([]);
    expect(ranges(['2001:db8::/32']).sourceRanges).toEqual([]);
  });

  test('R-60: when every range of a family is malformed its addresses are closed, not open', () => {
    expect(flags(['10.0.0.0/33'])).toEqual(['SOURCE_RANGES']);
    expect(ranges(['10.0.0.0/33']).sourceRanges).toEqual([]);
    expect(flags(['2001:db8::/129'])).toEqual([]);
    for (const neither of [7, '', ' ', 'everyone']) {
      expect(flags([neither])).toEqual(['SOURCE_RANGES']);
      const spec = { ...everything, clusterIP: 'fd00:10:96::a', loadBalancerSourceRanges: [neither] };
      const port = compilePort(service(spec, { ingress: [{ ip: '2001:db8::1' }] }));
      expect(flagNames(frontend(port, '2001:db8::1')?.flags)).toContain('SOURCE_RANGES');
    }
    expect(ranges(['10.0.0.0/33', '10.1.0.0/16']).sourceRanges).toEqual([{ address: '10.1.0.0', bits: 16 }]);
  });

  test('R-63: a range that holds an address of this node lets the node in', () => {
    expect(flags(['192.0.2.0/24'])).toEqual(['SOURCE_RANGES', 'HOST_ALLOWED']);
    expect(flags(['192.0.2.0/24'], INGRESS, nodeContext({ nodeAddresses: ['192.0.3.1'] }))).toEqual(['SOURCE_RANGES']);
    expect(flags(['0.0.0.0/0'])).toEqual(['SOURCE_RANGES', 'HOST_ALLOWED']);
    expect(flags(['192.0.2.1/32'], INGRESS, nodeContext({ nodeAddresses: undefined }))).toEqual(['SOURCE_RANGES']);
  });

  test('R-62: ranges do not depend on where the client is', () => {
    const row = frontend(ranges(['10.0.0.0/8']), INGRESS);
    expect([row?.internal, row?.external]).toEqual(['cluster', 'cluster']);
  });

  test('R-64: ranges are there without endpoints too', () => {
    const port = compilePort(
      service({ ...everything, loadBalancerSourceRanges: ['10.0.0.0/8'] }, { ingress: [{ ip: INGRESS }] }),
    );
    expect(flagNames(frontend(port, INGRESS)?.flags)).toContain('SOURCE_RANGES');
    expect(port.sourceRanges).toHaveLength(1);
  });

  test('R-61: ranges of both families are kept apart, with their host bits cleared', () => {
    const spec = {
      ...everything,
      clusterIPs: ['fd00:10:96::a', '10.96.0.10'],
      loadBalancerSourceRanges: ['2001:db8:ffff::5/33', '0.0.0.0/0', '::/0'],
    };
    const ports = compile(service(spec))?.ports;
    expect(ports?.map((port) => port.sourceRanges)).toEqual([
      [{ address: '0.0.0.0', bits: 0 }],
      [
        { address: '2001:db8:8000::', bits: 33 },
        { address: '::', bits: 0 },
      ],
    ]);
  });
});

describe('health', () => {
  const local = { ...everything, externalTrafficPolicy: 'Local', healthCheckNodePort: 32000 };
  const health = (spec: object, slices: unknown[] = []) =>
    compile(service({ ...spec }, { ingress: [{ ip: INGRESS }] }), slices)?.health;

  test('R-75: load balancers with eTP Local have a health check port', () => {
    expect(health(local)).toMatchObject({ port: 32000, localEndpoints: 0 });
    expect(health({ ...local, externalTrafficPolicy: 'Cluster' })).toBeUndefined();
    expect(health({ ...local, type: 'NodePort' })).toBeUndefined();
    expect(health({ ...local, healthCheckNodePort: 0 })).toBeUndefined();
    expect(health({ ...local, healthCheckNodePort: 70000 })).toBeUndefined();
  });

  test('R-77: it counts distinct addresses of ready endpoints here, over all ports', () => {
    const ports = [
      { name: 'http', port: 80 },
      { name: 'alt', port: 81 },
    ];
    const slicePorts = [
      { name: 'http', port: 8080 },
      { name: 'alt', port: 8081 },
    ];
    const endpoints = [
      endpoint('10.1.0.1', { on: 'here' }),
      endpoint('10.1.0.2', { on: 'here' }),
      endpoint('10.1.0.3', { on: 'here', is: TERMINATING }),
      endpoint('10.1.0.4'),
    ];
    expect(health({ ...local, ports }, [slice(endpoints, { ports: slicePorts })])?.localEndpoints).toBe(2);
    expect(health(local, [slice([endpoint('10.1.0.3', { on: 'here', is: TERMINATING })])])?.localEndpoints).toBe(0);
  });

  test('R-77: a pod of a dual-stack Service counts once', () => {
    const spec = { ...local, clusterIPs: ['10.96.0.10', 'fd00:10:96::a'] };
    const v4 = slice([endpoint('10.1.0.1', { on: 'here' })]);
    const v6 = slice([endpoint('fd00::1', { on: 'here' }), endpoint('fd00::2', { on: 'here' })], {
      addressType: 'IPv6',
    });
    expect(health(spec, [v4, v6])).toEqual({
      port: 32000,
      localEndpoints: 2,
      localEndpointsByFamily: { IPv4: 1, IPv6: 2 },
    });
  });
});
