import { describe, expect, test } from 'vitest';
import { endpoint, nodeContext, service, slice, TERMINATING, UNREADY } from './objects.ts';
import { addresses, compile, compilePort, flagNames, frontend } from './support.ts';

const EXTERNAL = '198.51.100.1';
const etpLocal = { externalIPs: [EXTERNAL], externalTrafficPolicy: 'Local' };
const itpLocal = { internalTrafficPolicy: 'Local' };

describe('the two lists', () => {
  const slices = [slice([endpoint('10.1.0.1', { on: 'here' }), endpoint('10.1.0.2')])];
  const lists = (spec: object) => {
    const port = compilePort(service({ ...spec }), slices);
    return { cluster: addresses(port, 'cluster'), local: addresses(port, 'local') };
  };
  const all = ['10.1.0.1:8080', '10.1.0.2:8080'];

  test('R-18: a list is built where some frontend leads to it', () => {
    expect(lists({})).toEqual({ cluster: all, local: [] });
    expect(lists(itpLocal)).toEqual({ cluster: [], local: ['10.1.0.1:8080'] });
    expect(lists(etpLocal)).toEqual({ cluster: all, local: ['10.1.0.1:8080'] });
    expect(lists({ externalTrafficPolicy: 'Local' })).toEqual({ cluster: all, local: [] });
    expect(lists({ ...itpLocal, externalIPs: [EXTERNAL] })).toEqual({ cluster: all, local: ['10.1.0.1:8080'] });
  });

  test('R-43: each policy has its own frontends', () => {
    const port = compilePort(service({ ...etpLocal }), slices);
    expect(frontend(port, '10.96.0.10')).toMatchObject({ internal: 'cluster', external: 'cluster' });
    expect(frontend(port, EXTERNAL)).toMatchObject({ internal: 'cluster', external: 'local' });
    const other = compilePort(service({ ...itpLocal, externalIPs: [EXTERNAL] }), slices);
    expect(frontend(other, '10.96.0.10')).toMatchObject({ internal: 'local', external: 'local' });
    expect(frontend(other, EXTERNAL)).toMatchObject({ internal: 'cluster', external: 'cluster' });
  });

  test('R-42: inside clients of a Local external frontend use the cluster list, with iTP Local too', () => {
    const port = compilePort(service({ ...etpLocal, ...itpLocal }), [slice([endpoint('10.1.0.2')])]);
    expect(frontend(port, EXTERNAL)).toMatchObject({ internal: 'cluster', external: 'local' });
    expect(addresses(port, 'cluster')).toEqual(['10.1.0.2:8080']);
    expect(flagNames(frontend(port, EXTERNAL)?.flags)).not.toContain('INTERNAL_DROP');
  });
});

describe('terminating fallback', () => {
  test('R-19: the cluster list falls back to terminating endpoints anywhere, without topology', () => {
    const here = endpoint('10.1.0.1', { is: TERMINATING, zones: ['a'] });
    const there = endpoint('10.1.0.2', { is: TERMINATING, zones: ['b'] });
    expect(addresses(compilePort(service(), [slice([here, there])]), 'cluster')).toEqual([
      '10.1.0.1:8080',
      '10.1.0.2:8080',
    ]);
    const ready = endpoint('10.1.0.3');
    expect(addresses(compilePort(service(), [slice([here, there, ready])]), 'cluster')).toEqual(['10.1.0.3:8080']);
  });

  test('R-20: the local list falls back by itself: ready for one, terminating for the other', () => {
    const endpoints = [endpoint('10.1.0.1', { on: 'here', is: TERMINATING }), endpoint('10.1.0.2')];
    const port = compilePort(service(etpLocal), [slice(endpoints)]);
    expect(addresses(port, 'cluster')).toEqual(['10.1.0.2:8080']);
    expect(addresses(port, 'local')).toEqual(['10.1.0.1:8080']);
    expect(port.lists.local[0]?.terminating).toBe(true);
    const withReady = compilePort(service(etpLocal), [slice([...endpoints, endpoint('10.1.0.3', { on: 'here' })])]);
    expect(addresses(withReady, 'local')).toEqual(['10.1.0.3:8080']);
  });
});

describe('topology', () => {
  const cluster = (endpoints: unknown[], over = {}) =>
    addresses(compilePort(service(), [slice(endpoints)], nodeContext(over)), 'cluster');
  const a = endpoint('10.1.0.1', { zones: ['a'], nodes: ['here'] });
  const b = endpoint('10.1.0.2', { zones: ['b'], nodes: ['there'] });

  test('R-24: node hints go before zone hints', () => {
    const zoneMate = endpoint('10.1.0.3', { zones: ['a'], nodes: ['there'] });
    expect(cluster([a, b, zoneMate])).toEqual(['10.1.0.1:8080']);
    expect(cluster([a, b, zoneMate], { nodeName: 'third' })).toEqual(['10.1.0.1:8080', '10.1.0.3:8080']);
    expect(cluster([a, b, zoneMate], { nodeName: 'third', zone: 'c' })).toHaveLength(3);
  });

  test('R-24: one ready endpoint without a hint turns hints of its kind off', () => {
    const noNode = endpoint('10.1.0.3', { zones: ['b'] });
    expect(cluster([a, b, noNode])).toEqual(['10.1.0.1:8080']);
    const noZone = endpoint('10.1.0.4');
    expect(cluster([a, b, noZone])).toHaveLength(3);
    expect(cluster([a, b, { ...noZone, hints: { forZones: [] } }])).toHaveLength(3);
  });

  test('R-24: endpoints that are not ready have no say', () => {
    const terminating = endpoint('10.1.0.3', { is: TERMINATING });
    const unready = endpoint('10.1.0.4', { is: UNREADY, nodes: ['here'] });
    expect(cluster([a, b, terminating, unready])).toEqual(['10.1.0.1:8080']);
    expect(cluster([b, unready], { zone: 'c' })).toEqual(['10.1.0.2:8080']);
  });

  test('R-25: the zone is the label of the node; without it zones are not looked at', () => {
    const zoned = [endpoint('10.1.0.1', { zones: ['a'] }), endpoint('10.1.0.2', { zones: ['b'] })];
    const labelled = (zone: string) => ({ zone: undefined, nodeLabels: { 'topology.kubernetes.io/zone': zone } });
    expect(cluster(zoned, labelled('b'))).toEqual(['10.1.0.2:8080']);
    expect(cluster(zoned, { zone: undefined })).toHaveLength(2);
    expect(cluster(zoned, labelled(''))).toHaveLength(2);
  });

  test('R-26: trafficDistribution is for the controller that writes hints', () => {
    const spec = { trafficDistribution: 'PreferSameZone' };
    const endpoints = [
      { ...endpoint('10.1.0.1'), zone: 'a' },
      { ...endpoint('10.1.0.2'), zone: 'b' },
    ];
    expect(addresses(compilePort(service(spec), [slice(endpoints)]), 'cluster')).toHaveLength(2);
  });

  test('R-27: hints never touch a Local list', () => {
    const endpoints = [endpoint('10.1.0.1', { on: 'here', zones: ['b'] }), endpoint('10.1.0.2', { zones: ['a'] })];
    const port = compilePort(service(etpLocal), [slice(endpoints)]);
    expect(addresses(port, 'cluster')).toEqual(['10.1.0.2:8080']);
    expect(addresses(port, 'local')).toEqual(['10.1.0.1:8080']);
  });
});

describe('nothing to forward to', () => {
  const drops = (spec: object, endpoints: unknown[], address = '10.96.0.10') =>
    flagNames(frontend(compilePort(service({ ...spec }), [slice(endpoints)]), address)?.flags).filter((name) =>
      name.endsWith('DROP'),
    );

  test('R-28: without any usable endpoint every frontend refuses', () => {
    for (const spec of [{}, itpLocal, etpLocal, { ...itpLocal, ...etpLocal }]) {
      expect(drops(spec, [])).toEqual([]);
      expect(drops(spec, [endpoint('10.1.0.1', { is: UNREADY })])).toEqual([]);
    }
    expect(drops(etpLocal, [endpoint('10.1.0.1', { is: UNREADY })], EXTERNAL)).toEqual([]);
  });

  test('R-29: iTP Local drops when endpoints are elsewhere, ready or terminating', () => {
    expect(drops(itpLocal, [endpoint('10.1.0.1')])).toEqual(['INTERNAL_DROP', 'EXTERNAL_DROP']);
    expect(drops(itpLocal, [endpoint('10.1.0.1', { is: TERMINATING })])).toEqual(['INTERNAL_DROP', 'EXTERNAL_DROP']);
    expect(drops(itpLocal, [endpoint('10.1.0.1', { on: 'here' })])).toEqual([]);
    expect(drops({}, [endpoint('10.1.0.1')])).toEqual([]);
  });

  test('R-30: eTP Local drops what comes from outside when endpoints are elsewhere', () => {
    expect(drops(etpLocal, [endpoint('10.1.0.1')], EXTERNAL)).toEqual(['EXTERNAL_DROP']);
    expect(drops(etpLocal, [endpoint('10.1.0.1')])).toEqual([]);
    expect(drops(etpLocal, [endpoint('10.1.0.1', { on: 'here' })], EXTERNAL)).toEqual([]);
  });

  test('R-31: ports that drop are counted by family and policy', () => {
    const count = (spec: object, endpoints: unknown[]) =>
      compile(service({ ...spec }), [slice(endpoints)])?.noLocalEndpoints;
    const none = { internal: 0, external: 0 };
    const both = { ...itpLocal, ...etpLocal };
    expect(count(both, [endpoint('10.1.0.1')])).toEqual({ IPv4: { internal: 1, external: 1 }, IPv6: none });
    expect(count(itpLocal, [endpoint('10.1.0.1')])).toEqual({ IPv4: { internal: 1, external: 0 }, IPv6: none });
    expect(count(etpLocal, [endpoint('10.1.0.1')])).toEqual({ IPv4: { internal: 0, external: 1 }, IPv6: none });
    expect(count(both, [])).toEqual({ IPv4: none, IPv6: none });
  });
});
