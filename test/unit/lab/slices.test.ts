import { describe, expect, it } from 'vitest';
import { buildSlices, type PodView, type SelectingService } from '../../support/lab/slices.ts';

function pod(name: string, over: Partial<PodView> = {}): PodView {
  return {
    namespace: 'shop',
    name,
    labels: { app: 'web' },
    nodeName: 'node1',
    addresses: { IPv4: '10.244.1.2', IPv6: 'fd44:0:0:1::2' },
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    phase: 'running',
    ...over,
  };
}

function service(spec: SelectingService['spec'] = {}): SelectingService {
  const ports = [{ port: 80, targetPort: 'http' }];
  return {
    kind: 'Service',
    metadata: { namespace: 'shop', name: 'web' },
    spec: { selector: { app: 'web' }, ports, ...spec },
  };
}

describe('slices of a Service', () => {
  it('has one for each of its families, with the addresses of that family', () => {
    const slices = buildSlices(service({ ipFamilies: ['IPv6', 'IPv4'] }), [pod('a')]);
    expect(slices.map(({ addressType, endpoints }) => [addressType, endpoints?.[0]?.addresses])).toEqual([
      ['IPv6', ['fd44:0:0:1::2']],
      ['IPv4', ['10.244.1.2']],
    ]);
    expect(slices[0]?.metadata?.labels).toMatchObject({ 'kubernetes.io/service-name': 'web' });
  });

  it('keeps pods apart whose named port has another number', () => {
    const other = pod('b', { ports: [{ name: 'http', port: 9080, protocol: 'TCP' }] });
    const slices = buildSlices(service(), [pod('a'), other, pod('c')]);
    expect(slices.map(({ ports, endpoints }) => [ports?.[0]?.port, endpoints?.length])).toEqual([
      [8080, 2],
      [9080, 1],
    ]);
  });

  it('gives a numeric target port as it is, and the port itself when there is no target', () => {
    const ports = [
      { name: 'x', port: 80, targetPort: 8000 },
      { name: 'y', port: 81 },
    ];
    expect(buildSlices(service({ ports }), [pod('a')])[0]?.ports).toEqual([
      { name: 'x', protocol: 'TCP', port: 8000 },
      { name: 'y', protocol: 'TCP', port: 81 },
    ]);
  });

  it('says of each endpoint whether it is ready, serving or terminating', () => {
    const pods = (['starting', 'running', 'terminating'] as const).map((phase) => pod(phase, { phase }));
    const conditions = buildSlices(service(), pods)[0]?.endpoints?.map((endpoint) => endpoint.conditions);
    expect(conditions).toEqual([
      { ready: false, serving: false, terminating: false },
      { ready: true, serving: true, terminating: false },
      { ready: false, serving: true, terminating: true },
    ]);
  });

  it('selects by every label, in its own namespace, and nothing without a selector', () => {
    const pods = [pod('a'), pod('b', { namespace: 'other' }), pod('c', { labels: { app: 'api' } })];
    expect(buildSlices(service(), pods)[0]?.endpoints).toHaveLength(1);
    expect(buildSlices(service({ selector: {} }), pods)).toEqual([]);
    expect(buildSlices(service({ selector: { app: 'web', tier: 'x' } }), pods)).toEqual([]);
  });

  it('marks those of a headless Service', () => {
    const [slice] = buildSlices(service({ clusterIP: 'None' }), [pod('a')]);
    expect(slice?.metadata?.labels).toHaveProperty(['service.kubernetes.io/headless'], '');
  });
});
