/** Random Services, EndpointSlices and contexts from a small world, so that they meet. */
import fc from 'fast-check';
import type { NodeContext } from '../../../src/compile/context.ts';
import { nodeContext } from './objects.ts';

const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const some = (values: readonly string[]) => fc.subarray([...values]);

export const names = ['web', 'api', 'dns'] as const;
export const sliceNames = ['s1', 's2', 's3'] as const;

const port = fc.record({
  name: fc.constantFrom('', 'a', 'b'),
  protocol: fc.constantFrom('TCP', 'UDP', undefined),
  port: fc.constantFrom(80, 81, 0, 'x'),
  nodePort: fc.constantFrom(undefined, 30080, 30081),
});

const spec = fc.record({
  type: fc.constantFrom('ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'),
  clusterIP: fc.constantFrom('10.96.0.1', '10.96.0.2', 'fd00:96::1', 'None', ''),
  clusterIPs: maybe(fc.constantFrom(['10.96.0.1', 'fd00:96::1'], ['10.96.0.3'], ['fd00:96::3', '10.96.0.3'])),
  externalIPs: some(['198.51.100.1', '2001:db8::1', 'bad']),
  externalTrafficPolicy: fc.constantFrom(undefined, 'Local', 'Cluster'),
  internalTrafficPolicy: fc.constantFrom(undefined, 'Local', 'Cluster'),
  sessionAffinity: fc.constantFrom(undefined, 'ClientIP'),
  healthCheckNodePort: fc.constantFrom(undefined, 32000),
  loadBalancerSourceRanges: some(['10.0.0.0/8', '192.0.2.0/24', '2001:db8::/32', 'bad']),
  ports: fc.array(port, { maxLength: 3 }),
});

export const service = fc.record({
  metadata: fc.record({
    creationTimestamp: fc.constantFrom('2026-01-01T00:00:00Z', '2025-01-01T00:00:00Z', undefined),
    labels: fc.constantFrom({}, {}, {}, { 'service.kubernetes.io/service-proxy-name': 'other' }),
  }),
  spec,
  status: fc.record({
    loadBalancer: fc.record({ ingress: some(['203.0.113.1', '2001:db8::2']).map((ips) => ips.map((ip) => ({ ip }))) }),
  }),
});

const condition = fc.constantFrom(true, true, false, null, undefined);
const hint = maybe(some(['a', 'b']).map((list) => list.map((name) => ({ name }))));

const endpoint = fc.record({
  addresses: fc.constantFrom(['10.1.0.1'], ['10.1.0.2'], ['10.1.0.3'], ['fd00:1::1'], ['fd00:1::2'], [], ['bad']),
  nodeName: fc.constantFrom('here', 'there', undefined),
  conditions: fc.record({ ready: condition, serving: condition, terminating: fc.constantFrom(undefined, false, true) }),
  hints: maybe(
    fc.record({
      forZones: hint,
      forNodes: maybe(some(['here', 'there']).map((list) => list.map((name) => ({ name })))),
    }),
  ),
});

export const slice = fc.record({
  metadata: fc.record({
    labels: fc.constantFrom(...names, 'none').map((name) => ({ 'kubernetes.io/service-name': name })),
    annotations: fc.constantFrom({}, { 'endpoints.kubernetes.io/last-change-trigger-time': '2026-01-01T00:00:00Z' }),
  }),
  addressType: fc.constantFrom('IPv4', 'IPv6', 'IPv4', 'FQDN'),
  ports: fc.array(
    fc.record({
      name: fc.constantFrom('', 'a', 'b', null),
      protocol: fc.constantFrom('TCP', 'UDP'),
      port: fc.constantFrom(8080, 8081, 0),
    }),
    {
      maxLength: 3,
    },
  ),
  endpoints: fc.array(endpoint, { maxLength: 6 }),
});

export const context: fc.Arbitrary<NodeContext> = fc
  .record({
    zone: fc.constantFrom('a', 'b', undefined),
    nodeName: fc.constantFrom('here', 'there'),
    masqueradeAll: fc.boolean(),
    serviceProxyName: fc.constantFrom(undefined, 'other'),
    nodeAddresses: some(['192.0.2.1', '10.0.0.1', '2001:db8::9']),
    families: fc.constantFrom(['IPv4'], ['IPv6'], ['IPv4', 'IPv6'], ['IPv6', 'IPv4']) as fc.Arbitrary<
      NodeContext['families']
    >,
  })
  .map((over) => nodeContext(over));

/** Anything JSON can say in place of an object, and objects with one field replaced by it. */
export function hostile(arbitrary: fc.Arbitrary<object>): fc.Arbitrary<unknown> {
  const spoil = (value: unknown, path: number[], junk: unknown): unknown => {
    if (typeof value !== 'object' || value === null || path.length === 0) return junk;
    const keys = Object.keys(value);
    const key = keys[(path[0] ?? 0) % Math.max(1, keys.length)];
    if (key === undefined) return junk;
    const copy = (Array.isArray(value) ? [...value] : { ...value }) as Record<string, unknown>;
    copy[key] = spoil(copy[key], path.slice(1), junk);
    return copy;
  };
  return fc
    .tuple(arbitrary, fc.array(fc.nat(10), { maxLength: 5 }), fc.jsonValue())
    .map(([object, path, junk]) => spoil(object, path, junk));
}
