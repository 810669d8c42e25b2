import { describe, expect, test } from 'vitest';
import { createCompiler } from '../../../src/compile/compiler.ts';
import { endpoint, nodeContext, service, slice } from './objects.ts';
import { addresses, flagNames } from './support.ts';

const keys = (taken: { changed: { namespace: string; name: string }[] }) =>
  taken.changed.map((s) => `${s.namespace}/${s.name}`);

/** A compiler that has returned Services default/web and default/api, each with an endpoint. */
function running() {
  const compiler = createCompiler(nodeContext());
  compiler.setService('default/web', service());
  compiler.setService('default/api', service({ clusterIP: '10.96.0.11' }));
  compiler.setSlice('default/web-1', slice([endpoint('10.1.0.1')]));
  compiler.setSlice('default/api-1', slice([endpoint('10.1.0.2')], { of: 'api' }));
  expect(keys(compiler.take())).toEqual(['default/api', 'default/web']);
  return compiler;
}

describe('what is recompiled', () => {
  test('nothing changed, nothing is returned', () => {
    expect(running().take()).toEqual({ changed: [], removed: [], problems: [] });
  });

  test('a slice recompiles its Service alone', () => {
    const compiler = running();
    compiler.setSlice('default/web-2', slice([endpoint('10.1.0.3')]));
    const taken = compiler.take();
    expect(keys(taken)).toEqual(['default/web']);
    expect(addresses(taken.changed[0]?.ports[0], 'cluster')).toEqual(['10.1.0.1:8080', '10.1.0.3:8080']);
  });

  test('a slice that moves to another Service recompiles both', () => {
    const compiler = running();
    compiler.setSlice('default/web-1', slice([endpoint('10.1.0.1')], { of: 'api' }));
    const taken = compiler.take();
    expect(keys(taken)).toEqual(['default/api', 'default/web']);
    expect(taken.changed.map((s) => addresses(s.ports[0], 'cluster'))).toEqual([
      ['10.1.0.1:8080', '10.1.0.2:8080'],
      [],
    ]);
  });

  test('slices of the same name in another namespace are not ours', () => {
    const compiler = running();
    compiler.setSlice('other/web-1', slice([endpoint('10.1.0.9')]));
    expect(compiler.take().changed).toEqual([]);
  });

  test('R-5: slices may come before their Service', () => {
    const compiler = createCompiler(nodeContext());
    compiler.setSlice('default/web-1', slice([endpoint('10.1.0.1')]));
    expect(compiler.take().changed).toEqual([]);
    compiler.setService('default/web', service());
    expect(addresses(compiler.take().changed[0]?.ports[0], 'cluster')).toEqual(['10.1.0.1:8080']);
  });

  test('R-17: a deleted Service is removed, once', () => {
    const compiler = running();
    compiler.setService('default/web', undefined);
    expect(compiler.take()).toMatchObject({ changed: [], removed: ['default/web'] });
    compiler.setService('default/web', undefined);
    compiler.setSlice('default/web-1', undefined);
    expect(compiler.take()).toMatchObject({ changed: [], removed: [] });
  });

  test('a Service that comes and goes between two calls is not mentioned', () => {
    const compiler = running();
    compiler.setService('default/new', service({ clusterIP: '10.96.0.12' }));
    compiler.setService('default/new', undefined);
    expect(compiler.take()).toMatchObject({ changed: [], removed: [] });
  });

  test('R-16: a change of type leaves nothing behind, and comes back', () => {
    const compiler = running();
    const nodePort = service({ type: 'NodePort', ports: [{ name: 'http', port: 80, nodePort: 30080 }] });
    compiler.setService('default/web', nodePort);
    expect(compiler.take().changed[0]?.ports[0]?.frontends).toHaveLength(2);
    compiler.setService('default/web', service({ type: 'ExternalName' }));
    expect(compiler.take().removed).toEqual(['default/web']);
    compiler.setService('default/web', service());
    expect(compiler.take().changed[0]?.ports[0]?.frontends).toHaveLength(1);
    compiler.setService('default/web', service({ ports: [{ name: 'renamed', port: 81 }] }));
    expect(compiler.take().changed[0]?.ports.map((p) => [p.portName, p.frontends[0]?.port])).toEqual([['renamed', 81]]);
  });

  test('R-2: the label service-proxy-name takes a live Service away, its removal brings it back', () => {
    const compiler = running();
    compiler.setService(
      'default/web',
      service({}, { labels: { 'service.kubernetes.io/service-proxy-name': 'other' } }),
    );
    expect(compiler.take().removed).toEqual(['default/web']);
    compiler.setContext(nodeContext({ serviceProxyName: 'other' }));
    expect(keys(compiler.take())).toContain('default/web');
    compiler.setContext(nodeContext());
    expect(compiler.take().removed).toEqual(['default/web']);
    compiler.setService('default/web', service());
    expect(addresses(compiler.take().changed[0]?.ports[0], 'cluster')).toEqual(['10.1.0.1:8080']);
  });

  test('R-50: affinity can be switched on a live Service', () => {
    const compiler = running();
    compiler.setService('default/web', service({ sessionAffinity: 'ClientIP' }));
    expect(compiler.take().changed[0]?.ports[0]?.affinitySeconds).toBe(10800);
    compiler.setService('default/web', service());
    expect(compiler.take().changed[0]?.ports[0]?.affinitySeconds).toBe(0);
  });
});

describe('context', () => {
  test('the same context again recompiles nothing', () => {
    const compiler = running();
    compiler.setContext(nodeContext({ nodeLabels: { other: 'label' }, nodeAddresses: ['2001:db8:1::1', '192.0.2.1'] }));
    expect(compiler.take().changed).toEqual([]);
  });

  test('R-25: a changed zone recompiles all', () => {
    const compiler = running();
    compiler.setSlice(
      'default/web-1',
      slice([endpoint('10.1.0.1', { zones: ['a'] }), endpoint('10.1.0.2', { zones: ['b'] })]),
    );
    expect(addresses(compiler.take().changed[0]?.ports[0], 'cluster')).toEqual(['10.1.0.1:8080']);
    compiler.setContext(nodeContext({ zone: undefined, nodeLabels: { 'topology.kubernetes.io/zone': 'b' } }));
    const taken = compiler.take();
    expect(keys(taken)).toEqual(['default/api', 'default/web']);
    expect(addresses(taken.changed[1]?.ports[0], 'cluster')).toEqual(['10.1.0.2:8080']);
  });

  test('R-63: changed node addresses recompile the Services that look at them', () => {
    const compiler = running();
    const guarded = service(
      { type: 'LoadBalancer', clusterIP: '10.96.0.12', loadBalancerSourceRanges: ['192.0.2.0/24'] },
      { ingress: [{ ip: '203.0.113.1' }] },
    );
    compiler.setService('default/guarded', guarded);
    expect(flagNames(compiler.take().changed[0]?.ports[0]?.frontends[1]?.flags)).toContain('HOST_ALLOWED');
    compiler.setContext(nodeContext({ nodeAddresses: ['192.0.3.1'] }));
    const taken = compiler.take();
    expect(keys(taken)).toEqual(['default/guarded']);
    expect(flagNames(taken.changed[0]?.ports[0]?.frontends[1]?.flags)).not.toContain('HOST_ALLOWED');
  });

  test('a family that is switched off leaves its addresses to nobody', () => {
    const compiler = running();
    compiler.setService('default/six', service({ clusterIP: 'fd00:10:96::a' }));
    expect(compiler.take().changed[0]?.ports).toHaveLength(1);
    compiler.setContext(nodeContext({ families: ['IPv4'] }));
    expect(compiler.take().changed.find((s) => s.name === 'six')?.ports).toEqual([]);
  });
});
