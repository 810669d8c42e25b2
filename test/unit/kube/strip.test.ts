import { expect, it } from 'vitest';
import { hasName, nodeContent, stripNode, stripService, stripSlice } from '../../../src/kube/strip.ts';
import type { EndpointSlice, Node, Service } from '../../../src/model/kubernetes.ts';

it('keeps only the annotations that are read', () => {
  const annotations = {
    'kubectl.kubernetes.io/last-applied-configuration': 'x'.repeat(300_000),
    'endpoints.kubernetes.io/last-change-trigger-time': '2026-01-01T00:00:00Z',
    'service.kubernetes.io/topology-mode': 'Auto',
    'sluice.io/algorithm': 'maglev',
  };
  const stripped = stripService({ metadata: { name: 'a', annotations }, managedFields: [1] } as Service);
  expect(Object.keys(stripped.metadata?.annotations ?? {})).toEqual([
    'endpoints.kubernetes.io/last-change-trigger-time',
    'service.kubernetes.io/topology-mode',
    'sluice.io/algorithm',
  ]);
});

it('drops managedFields and targetRef', () => {
  const slice = {
    metadata: { name: 'a', managedFields: [{ manager: 'x' }] },
    endpoints: [{ addresses: ['10.0.0.1'], targetRef: { kind: 'Pod', name: 'p' } }, null],
  };
  expect(JSON.stringify(stripSlice(slice as unknown as EndpointSlice))).toBe(
    '{"metadata":{"name":"a"},"endpoints":[{"addresses":["10.0.0.1"]},null]}',
  );
});

it('survives metadata of the wrong type', () => {
  for (const annotations of [null, 'text', 7, ['a']]) {
    expect(() => stripService({ metadata: { name: 'a', annotations } } as unknown as Service)).not.toThrow();
  }
  expect(stripSlice({ endpoints: 'none' } as unknown as EndpointSlice).endpoints).toBe('none');
  expect(hasName({ metadata: { name: 7 } })).toBe(false);
  expect(hasName(null)).toBe(false);
});

it('sees a Node change only where something is read', () => {
  const node = (version: string, image: string, zone: string): Node =>
    ({
      metadata: { name: 'n', resourceVersion: version, labels: { 'topology.kubernetes.io/zone': zone } },
      status: { addresses: [], images: [image] },
    }) as Node;
  const content = (n: Node) => nodeContent(stripNode(n));
  expect(content(node('1', 'a', 'z1'))).toBe(content(node('2', 'b', 'z1')));
  expect(content(node('1', 'a', 'z1'))).not.toBe(content(node('1', 'a', 'z2')));
});
