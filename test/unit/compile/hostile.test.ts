import { describe, expect, test } from 'vitest';
import { createCompiler } from '../../../src/compile/compiler.ts';
import { endpoint, nodeContext, service, slice } from './objects.ts';
import { addresses, compile } from './support.ts';

const fields = (object: unknown, slices: unknown[] = []) => compile(object, slices)?.problems.map((p) => p.field);

describe('malformed Services', () => {
  test.each([
    ['spec.clusterIP', { clusterIP: '10.96.0.300' }],
    ['spec.clusterIP', { clusterIP: 7 }],
    ['spec.clusterIP', { clusterIP: undefined }],
    ['spec.clusterIP', { clusterIP: '127.0.0.1' }],
    ['spec.clusterIPs', { clusterIPs: 'fd00::1' }],
    ['spec.clusterIPs[1]', { clusterIPs: ['10.96.0.10', '10.96.0.11'] }],
    ['spec.externalIPs[1]', { externalIPs: ['198.51.100.1', '0.0.0.0'] }],
    ['spec.externalIPs[0]', { externalIPs: ['::'] }],
    ['spec.externalIPs[0]', { externalIPs: ['fe80::1'] }],
    ['spec.externalIPs[0]', { externalIPs: ['224.0.0.1'] }],
    ['spec.externalIPs[0]', { externalIPs: [{}] }],
    ['spec.ports', { ports: 'http' }],
    ['spec.ports[0].port', { ports: [{ port: 65536 }] }],
    ['spec.ports[0].port', { ports: [{ port: '80' }] }],
    ['spec.ports[0].port', { ports: [{ port: 80.5 }] }],
    ['spec.ports[0].port', { ports: [null] }],
    ['spec.ports[0].protocol', { ports: [{ port: 80, protocol: 'HTTP' }] }],
    ['spec.ports[0].protocol', { ports: [{ port: 80, protocol: 'toString' }] }],
    ['spec.ports[0].name', { ports: [{ port: 80, name: 'x'.repeat(64) }] }],
    ['spec.ports[0].nodePort', { ports: [{ port: 80, nodePort: -1 }] }],
    ['spec.ports[1].name', { ports: [{ port: 80 }, { port: 81 }] }],
    ['spec.sessionAffinity', { sessionAffinity: 'Cookie' }],
    ['spec.externalTrafficPolicy', { externalTrafficPolicy: 'Nearby' }],
    ['spec.internalTrafficPolicy', { internalTrafficPolicy: 3 }],
    ['spec.loadBalancerSourceRanges[0]', { loadBalancerSourceRanges: ['10.0.0.0'] }],
  ])('%s is reported', (field, spec) => {
    expect(fields(service(spec))).toEqual([field]);
  });

  test('what is good in a Service with faults is served', () => {
    const result = compile(
      service({
        externalIPs: ['bad', '198.51.100.1'],
        ports: [
          { name: 'a', port: 0 },
          { name: 'http', port: 80 },
        ],
      }),
    );
    expect(result?.ports.map((p) => p.frontends.map((f) => f.address))).toEqual([['10.96.0.10', '198.51.100.1']]);
    expect(result?.problems.map((p) => p.field)).toEqual(['spec.externalIPs[0]', 'spec.ports[0].port']);
  });

  test.each([
    null,
    7,
    'text',
    [],
    {},
    { metadata: 7, spec: [] },
    { spec: { ports: {}, clusterIP: {} } },
  ])('a Service that is %j does no harm', (object) => {
    expect(compile(object)?.ports).toEqual([]);
    expect(compile(object)?.problems.length).toBeGreaterThan(0);
  });

  test('messages quote no more than a little of a value', () => {
    const problem = compile(service({ clusterIP: 'x\n'.repeat(100_000) }))?.problems[0];
    expect(problem?.message.length).toBeLessThan(200);
    expect(problem?.message).not.toContain('\n');
  });

  test('a Service with endless ports and addresses is cut', () => {
    const ports = Array.from({ length: 5000 }, (_, i) => ({ name: `p${i}`, port: i + 1 }));
    const externalIPs = Array.from({ length: 2000 }, (_, i) => `198.18.${i >> 8}.${i & 255}`);
    const result = compile(service({ ports, externalIPs }));
    const frontends = result?.ports.reduce((sum, port) => sum + port.frontends.length, 0) ?? 0;
    expect(frontends).toBeGreaterThan(16_000);
    expect(frontends).toBeLessThan(18_000);
    expect(result?.problems.map((p) => p.field)).toEqual(['spec.externalIPs', 'spec.ports', 'spec.ports[16]']);
  });
});

describe('malformed EndpointSlices', () => {
  test.each([
    ['addressType', slice([endpoint('10.1.0.1')], { addressType: 'Avian' })],
    ['endpoints', slice({ length: 3 })],
    ['endpoints[0].addresses[0]', slice([null])],
    ['endpoints[0].addresses[0]', slice([endpoint('10.1.0.256')])],
    ['endpoints[0].addresses[0]', slice([endpoint('fd00::1')])],
    ['endpoints[0].addresses[0]', slice([endpoint('127.0.0.1')])],
    ['endpoints[0].addresses[0]', slice([endpoint('169.254.169.254')])],
    ['endpoints[0].conditions', slice([endpoint('10.1.0.1', { is: { ready: 'false' } })])],
    ['ports[0].port', slice([], { ports: [{ name: 'http', port: 65536 }] })],
    ['ports[0].name', slice([], { ports: [{ port: 80 }] })],
    ['ports[0].protocol', slice([], { ports: [{ name: 'http', port: 80, protocol: 6 }] })],
  ])('%s is reported', (field, object) => {
    const result = compile(service(), [object]);
    expect(result?.problems.map((p) => [p.kind, p.name, p.field])).toEqual([['EndpointSlice', 'web-1', field]]);
    expect(addresses(result?.ports[0], 'serving')).toEqual([]);
  });

  test.each([
    null,
    7,
    'text',
    [],
    {},
    { metadata: { labels: 'kubernetes.io/service-name' } },
  ])('a slice that is %j is ignored', (object) => {
    expect(compile(service(), [object])?.problems).toEqual([]);
  });

  test('of 1,000 endpoints with garbage the good ones are used and a handful of problems is reported', () => {
    const garbage = [
      null,
      7,
      {},
      { addresses: 'x' },
      { addresses: [{}] },
      endpoint('::1'),
      endpoint('1.2.3'),
      endpoint('10.1.0.1', { is: { ready: 1 } }),
    ];
    const endpoints = Array.from({ length: 1000 }, (_, i) =>
      i % 10 === 0 ? endpoint(`10.1.1.${i / 10}`) : garbage[i % garbage.length],
    );
    const result = compile(service(), [slice(endpoints)]);
    expect(result?.ports[0]?.lists.cluster).toHaveLength(100);
    expect(result?.problems).toHaveLength(6);
    expect(result?.problems[5]?.message).toBe('and 895 more faults');
  });

  test('hints of a wrong shape are no hints', () => {
    const odd = [{ forZones: 'a' }, { forZones: [{ name: 7 }] }, 'a', { forNodes: [null] }];
    for (const hints of odd) {
      const result = compile(service(), [
        slice([{ ...endpoint('10.1.0.1'), hints }, endpoint('10.1.0.2', { zones: ['a'] })]),
      ]);
      expect(result?.ports[0]?.lists.cluster).toHaveLength(2);
    }
  });

  test('endpoints beyond the limit of a slice are cut and reported', () => {
    const endpoints = Array.from({ length: 10_001 }, (_, i) => endpoint(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`));
    const result = compile(service(), [slice(endpoints)]);
    expect(result?.ports[0]?.serving).toHaveLength(10_000);
    expect(result?.problems.map((p) => p.field)).toEqual(['endpoints']);
  });
});

describe('names', () => {
  test.each([
    '/',
    '/web',
    'default/',
    'web',
    'default/Web',
    'default/a/b',
    'default/a b',
    `default/${'a'.repeat(64)}`,
    'default/__proto__',
  ])('Service %j is skipped and reported', (key) => {
    const compiler = createCompiler(nodeContext());
    compiler.setService(key, service());
    const taken = compiler.take();
    expect(taken.changed).toEqual([]);
    expect(taken.problems).toHaveLength(1);
    expect(compiler.take().problems).toEqual([]);
  });

  test('a slice whose name cannot be used is skipped and reported', () => {
    const compiler = createCompiler(nodeContext());
    compiler.setService('default/web', service());
    compiler.setSlice('default/', slice([endpoint('10.1.0.1')]));
    const taken = compiler.take();
    expect(taken.changed[0]?.ports[0]?.serving).toEqual([]);
    expect(taken.problems.map((p) => [p.kind, p.namespace, p.field])).toEqual([
      ['EndpointSlice', 'default', 'metadata.name'],
    ]);
  });
});

test('annotations are not kept', () => {
  const compiler = createCompiler(nodeContext());
  const object = service();
  compiler.setService('default/web', {
    ...object,
    metadata: { ...object.metadata, annotations: { note: 'secret-note'.repeat(30_000) } },
  });
  expect(JSON.stringify(compiler.take())).not.toContain('secret-note');
});
