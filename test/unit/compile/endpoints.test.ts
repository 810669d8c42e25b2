import { describe, expect, test } from 'vitest';
import { endpoint, nodeContext, service, slice, TERMINATING, UNREADY } from './objects.ts';
import { addresses, compile, compilePort } from './support.ts';

const cluster = (slices: unknown[], spec = {}) => addresses(compilePort(service(spec), slices), 'cluster');

describe('slices', () => {
  test('R-3: a slice with the label headless is ignored', () => {
    expect(cluster([slice([endpoint('10.1.0.1')], { labels: { 'service.kubernetes.io/headless': '' } })])).toEqual([]);
  });

  test('R-5: a slice without the label service-name is ignored', () => {
    expect(cluster([slice([endpoint('10.1.0.1')], { of: '' })])).toEqual([]);
  });

  test('R-5: only slices of the family count, FQDN never', () => {
    expect(cluster([slice([endpoint('fd00::1')], { addressType: 'IPv6' })])).toEqual([]);
    const fqdn = compile(service(), [slice([endpoint('example.org')], { addressType: 'FQDN' })]);
    expect(addresses(fqdn?.ports[0], 'cluster')).toEqual([]);
    expect(fqdn?.problems).toEqual([]);
  });

  test('R-6: ports join by name and protocol, never by targetPort', () => {
    const spec = { ports: [{ name: 'http', port: 80, targetPort: 9999 }] };
    const ports = [
      { name: 'http', port: 8080, protocol: 'TCP' },
      { name: 'other', port: 9999, protocol: 'TCP' },
      { name: 'http', port: 8081, protocol: 'UDP' },
    ];
    expect(cluster([slice([endpoint('10.1.0.1')], { ports })], spec)).toEqual(['10.1.0.1:8080']);
  });

  test('R-6: a slice port without name or number is ignored, an unnamed Service port is ""', () => {
    const spec = { ports: [{ port: 80 }] };
    const of = (port: unknown) => cluster([slice([endpoint('10.1.0.1')], { ports: [port] })], spec);
    expect(of({ name: '', port: 8080 })).toEqual(['10.1.0.1:8080']);
    expect(of({ port: 8080 })).toEqual([]);
    expect(of({ name: null, port: 8080 })).toEqual([]);
    expect(of({ name: '', port: null })).toEqual([]);
    expect(of({ name: '', port: 0 })).toEqual([]);
  });

  test('R-7: every endpoint keeps the number of its own slice', () => {
    const other = slice([endpoint('10.1.0.2')], { ports: [{ name: 'http', port: 8081 }] });
    expect(cluster([slice([endpoint('10.1.0.1')]), other])).toEqual(['10.1.0.1:8080', '10.1.0.2:8081']);
  });

  test('R-8: only the first address of an endpoint counts', () => {
    expect(cluster([slice([{ ...endpoint('10.1.0.1'), addresses: ['10.1.0.1', '10.1.0.2'] }])])).toEqual([
      '10.1.0.1:8080',
    ]);
  });

  test('R-12: a family without endpoints is empty, the other is served', () => {
    const spec = { clusterIPs: ['10.96.0.10', 'fd00:10:96::a'] };
    const result = compile(service(spec), [slice([endpoint('fd00::1')], { addressType: 'IPv6' })]);
    expect(result?.ports.map((port) => addresses(port, 'cluster'))).toEqual([[], ['fd00::1:8080']]);
  });
});

describe('conditions', () => {
  const conditions = (is: Record<string, unknown> | undefined) => {
    const port = compilePort(service(), [slice([{ ...endpoint('10.1.0.1'), conditions: is }])]);
    return [port.lists.cluster.length, port.serving.length, port.serving[0]?.terminating];
  };

  test('R-9: ready and serving default to true, terminating to false', () => {
    expect(conditions(undefined)).toEqual([1, 1, false]);
    expect(conditions({ ready: null, serving: null, terminating: null })).toEqual([1, 1, false]);
    expect(conditions({ ready: false })).toEqual([0, 1, false]);
    expect(conditions({ ready: false, terminating: true })).toEqual([1, 1, true]);
  });

  test('R-9: an endpoint is local when its nodeName is this node, whatever its address', () => {
    const endpoints = [
      endpoint('10.1.0.1', { on: 'here' }),
      endpoint('192.0.2.1', { on: 'there' }),
      { addresses: ['10.1.0.3'] },
    ];
    const local = (nodeName: string) =>
      compilePort(service(), [slice(endpoints)], nodeContext({ nodeName })).serving.map((b) => b.local);
    expect(local('here')).toEqual([true, false, false]);
    expect(local('')).toEqual([false, false, false]);
  });

  test('R-21: an endpoint that is neither ready nor serving and terminating is never used', () => {
    const stopped = { ready: false, serving: false, terminating: true };
    const servingUnready = { ready: false, serving: true, terminating: false };
    for (const is of [UNREADY, stopped, servingUnready]) {
      const port = compilePort(service({ internalTrafficPolicy: 'Local', externalIPs: ['198.51.100.1'] }), [
        slice([endpoint('10.1.0.1', { is, on: 'here' })]),
      ]);
      expect(addresses(port, 'cluster')).toEqual([]);
      expect(addresses(port, 'local')).toEqual([]);
    }
  });

  test('R-66: every serving endpoint keeps its flows, whatever policy and topology say', () => {
    const port = compilePort(service({ internalTrafficPolicy: 'Local' }), [
      slice([
        endpoint('10.1.0.1', { on: 'here' }),
        endpoint('10.1.0.2', { is: TERMINATING }),
        endpoint('10.1.0.3', { is: { ready: false, serving: true } }),
        endpoint('10.1.0.4', { is: UNREADY }),
        endpoint('10.1.0.5', { is: { ready: true, serving: false } }),
      ]),
    ]);
    expect(addresses(port, 'serving')).toEqual(['10.1.0.1:8080', '10.1.0.2:8080', '10.1.0.3:8080', '10.1.0.5:8080']);
  });
});

describe('duplicates', () => {
  const pair = (a: object, b: object) => {
    const both = (first: object, second: object) =>
      compilePort(service(), [slice([endpoint('10.1.0.1', first)]), slice([endpoint('10.1.0.1', second)])]);
    expect(both(a, b)).toEqual(both(b, a));
    return both(a, b);
  };

  test('R-10: one address and port in two slices is one backend, the one that does not terminate', () => {
    const port = pair({ is: TERMINATING }, { is: { ready: true } });
    expect(port.serving).toEqual([{ address: '10.1.0.1', port: 8080, local: false, terminating: false }]);
    expect(addresses(port, 'cluster')).toEqual(['10.1.0.1:8080']);
    expect(addresses(pair({ is: TERMINATING }, { is: UNREADY }), 'cluster')).toEqual([]);
  });

  test('R-10: a ready entry wins over an unready one, a local one over a remote one', () => {
    expect(addresses(pair({ is: UNREADY }, { is: { ready: true } }), 'cluster')).toEqual(['10.1.0.1:8080']);
    expect(pair({ on: 'here' }, { on: 'there' }).serving[0]?.local).toBe(true);
  });

  test('R-10: within one slice too; other ports of the address stay', () => {
    const twice = slice([endpoint('10.1.0.1'), endpoint('10.1.0.1')]);
    const other = slice([endpoint('10.1.0.1')], { ports: [{ name: 'http', port: 8081 }] });
    expect(cluster([twice, other])).toEqual(['10.1.0.1:8080', '10.1.0.1:8081']);
  });
});

describe('many ports', () => {
  const names = Array.from({ length: 40 }, (_, i) => `p${i}`);
  const spec = { ports: names.map((name, i) => ({ name, port: 1000 + i, targetPort: 8080 })) };
  const endpoints = [endpoint('10.1.0.1', { on: 'here' }), endpoint('10.1.0.2')];

  test('ports that lead to the same endpoints share one list, whatever their numbers', () => {
    const ports = names.map((name) => ({ name, port: 8080 }));
    const result = compile(service(spec), [slice(endpoints, { ports })]);
    expect(addresses(result?.ports[39], 'cluster')).toEqual(['10.1.0.1:8080', '10.1.0.2:8080']);
    for (const port of result?.ports ?? []) expect(port.lists.cluster).toBe(result?.ports[0]?.lists.cluster);
  });

  test('ports with other numbers, and other slices, keep to their own', () => {
    const first = names.map((name, i) => ({ name, port: i < 20 ? 8080 : 9090 }));
    const second = names.slice(1).map((name) => ({ name, port: 8080 }));
    const result = compile(service(spec), [
      slice(endpoints, { ports: first }),
      slice([endpoint('10.1.0.3')], { ports: second }),
    ]);
    const of = (i: number) => addresses(result?.ports[i], 'cluster');
    expect(of(0)).toEqual(['10.1.0.1:8080', '10.1.0.2:8080']);
    expect(of(1)).toEqual(['10.1.0.1:8080', '10.1.0.2:8080', '10.1.0.3:8080']);
    expect(of(39)).toEqual(['10.1.0.1:9090', '10.1.0.2:9090', '10.1.0.3:8080']);
  });

  test('a slice loses none of the 20,000 ports that the API takes', () => {
    const ports = Array.from({ length: 20_000 }, (_, i) => ({ name: `p${i}`, port: 1 + i }));
    const last = { ports: [{ name: 'p19999', port: 80 }] };
    const result = compile(service(last), [slice(endpoints, { ports })]);
    expect(addresses(result?.ports[0], 'cluster')).toEqual(['10.1.0.1:20000', '10.1.0.2:20000']);
    expect(result?.problems).toEqual([]);
  });
});
