import { describe, expect, test } from 'vitest';
import { createClaims } from '../../../src/compile/claims.ts';
import { createCompiler } from '../../../src/compile/compiler.ts';
import { endpoint, nodeContext, service, slice } from './objects.ts';

const SHARED = '198.51.100.1';
const external = (clusterIP: string, created?: string) => service({ clusterIP, externalIPs: [SHARED] }, { created });
const OLD = '2025-01-01T00:00:00Z';
const YOUNG = '2026-06-01T00:00:00Z';

function holders(compiler: ReturnType<typeof createCompiler>): Record<string, boolean> {
  return Object.fromEntries(
    compiler
      .take()
      .changed.map((s) => [
        s.name,
        s.ports.some((port) => port.frontends.some((f) => f.address === SHARED || f.address === '0.0.0.0')),
      ]),
  );
}

describe('contested frontends', () => {
  test('R-95: the oldest Service keeps a contested address, in any order of events', () => {
    const events = [
      ['default/old', external('10.96.0.1', OLD)],
      ['default/young', external('10.96.0.2', YOUNG)],
    ] as const;
    for (const order of [events, [...events].reverse()]) {
      const compiler = createCompiler(nodeContext());
      for (const [key, object] of order) compiler.setService(key, object);
      expect(holders(compiler)).toEqual({ old: true, young: false });
    }
  });

  test('R-77: a port that older Services have every address of counts for the health check', () => {
    const compiler = createCompiler(nodeContext());
    compiler.setService(
      'default/old',
      service({ clusterIP: '10.96.0.1', externalIPs: ['10.96.0.2'] }, { created: OLD }),
    );
    const spec = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: 32000 };
    compiler.setService('default/web', service({ ...spec, clusterIP: '10.96.0.2' }, { created: YOUNG }));
    compiler.setSlice('default/web-1', slice([endpoint('10.1.0.1', { on: 'here' })]));
    const web = compiler.take().changed.find(({ name }) => name === 'web');
    expect(web?.ports).toEqual([]);
    expect(web?.health).toMatchObject({ localEndpoints: 1, localEndpointsByFamily: { IPv4: 1 } });
  });

  test('R-95: of equally old Services the first by namespace and name keeps it', () => {
    const compiler = createCompiler(nodeContext());
    compiler.setService('default/b', external('10.96.0.1'));
    compiler.setService('default/a', external('10.96.0.2'));
    expect(holders(compiler)).toEqual({ a: true, b: false });
  });

  test('R-95: the other Service is reported by name and field, and keeps its own addresses', () => {
    const compiler = createCompiler(nodeContext());
    compiler.setService('default/old', external('10.96.0.1', OLD));
    compiler.setService('default/young', external('10.96.0.2', YOUNG));
    const young = compiler.take().changed.find((s) => s.name === 'young');
    expect(young?.ports[0]?.frontends.map((f) => f.address)).toEqual(['10.96.0.2']);
    expect(young?.problems).toEqual([
      {
        kind: 'Service',
        namespace: 'default',
        name: 'young',
        field: 'spec.externalIPs[0]',
        message: '198.51.100.1 80/TCP stays with Service default/old, which has it first',
      },
    ]);
  });

  test('R-95: when the holder goes, the other Service is recompiled and gets the address', () => {
    const compiler = createCompiler(nodeContext());
    compiler.setService('default/old', external('10.96.0.1', OLD));
    compiler.setService('default/young', external('10.96.0.2', YOUNG));
    compiler.take();
    compiler.setService('default/old', undefined);
    expect(holders(compiler)).toEqual({ young: true });
    compiler.setService('default/old', external('10.96.0.1', OLD));
    expect(holders(compiler)).toEqual({ old: true, young: false });
    compiler.setService('default/old', service({ clusterIP: '10.96.0.1' }, { created: OLD }));
    expect(holders(compiler)).toEqual({ old: false, young: true });
  });

  test('R-95: NodePorts are contested too; other protocols and ports are not', () => {
    const nodePort = (clusterIP: string, protocol: string, port: number) =>
      service({ clusterIP, ports: [{ port: 80, protocol, nodePort: port }] });
    const compiler = createCompiler(nodeContext());
    compiler.setService('default/a', nodePort('10.96.0.1', 'TCP', 30080));
    compiler.setService('default/b', nodePort('10.96.0.2', 'TCP', 30080));
    compiler.setService('default/c', nodePort('10.96.0.3', 'UDP', 30080));
    compiler.setService('default/d', nodePort('10.96.0.4', 'TCP', 30081));
    expect(holders(compiler)).toEqual({ a: true, b: false, c: true, d: true });
  });

  test('R-95: an ignored Service holds nothing', () => {
    const labels = { 'service.kubernetes.io/service-proxy-name': 'other' };
    const compiler = createCompiler(nodeContext());
    compiler.setService(
      'default/old',
      service({ clusterIP: '10.96.0.1', externalIPs: [SHARED] }, { created: OLD, labels }),
    );
    compiler.setService('default/young', external('10.96.0.2', YOUNG));
    expect(holders(compiler)).toEqual({ young: true });
    compiler.setContext(nodeContext({ serviceProxyName: 'other' }));
    expect(holders(compiler)).toEqual({ old: true, young: false });
  });

  test('two ports of one Service cannot share a frontend: the first keeps it', () => {
    const compiler = createCompiler(nodeContext());
    compiler.setService(
      'default/web',
      service({
        ports: [
          { name: 'a', port: 80 },
          { name: 'b', port: 80 },
        ],
      }),
    );
    const result = compiler.take().changed[0];
    expect(result?.ports.map((p) => p.portName)).toEqual(['a']);
    expect(result?.problems).toHaveLength(1);
  });
});

describe('the index', () => {
  const claimant = (key: string, created: number, claims: string[]) => ({ key, created, claims });

  test('a Service that joins a contest and loses affects nobody', () => {
    const claims = createClaims();
    claims.update(undefined, claimant('a', 1, ['x']));
    expect([...claims.update(undefined, claimant('b', 2, ['x']))]).toEqual([]);
    expect([...claims.update(undefined, claimant('c', 0, ['x']))].sort()).toEqual(['a', 'b']);
    expect(claims.holder('x')).toBe('c');
  });

  test('nothing is left when all have gone', () => {
    const claims = createClaims();
    const all = ['a', 'b', 'c'].map((key, i) => claimant(key, i % 2, ['x', key]));
    for (const one of all) claims.update(undefined, one);
    for (const one of all) claims.update(one, undefined);
    expect(claims.size).toBe(0);
  });

  test('a changed creation time changes the holder', () => {
    const claims = createClaims();
    const a = claimant('a', 1, ['x']);
    claims.update(undefined, a);
    claims.update(undefined, claimant('b', 2, ['x']));
    expect([...claims.update(a, claimant('a', 3, ['x']))]).toEqual(['b']);
    expect(claims.holder('x')).toBe('b');
  });
});
