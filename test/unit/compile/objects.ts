/** Short ways to write Services, EndpointSlices and contexts in tests of the compiler. */
import type { NodeContext } from '../../../src/compile/context.ts';
import type { Endpoint, EndpointSlice, Service } from '../../../src/model/kubernetes.ts';

export const CREATED = '2026-01-01T00:00:00Z';

/** This node is `here`, in zone `a`; both families; pods are known. */
export function nodeContext(over: Partial<NodeContext> = {}): NodeContext {
  return {
    nodeName: 'here',
    zone: 'a',
    nodeAddresses: ['192.0.2.1', '2001:db8:1::1'],
    detectLocal: { IPv4: true, IPv6: true },
    families: ['IPv4', 'IPv6'],
    ...over,
  };
}

/** Service default/web: 10.96.0.10:80/TCP, unless `spec` says otherwise. */
export function service(
  spec: Record<string, unknown> = {},
  over: { name?: string; created?: string; labels?: Record<string, string>; ingress?: unknown } = {},
): Service {
  const object = {
    metadata: {
      namespace: 'default',
      name: over.name ?? 'web',
      creationTimestamp: over.created ?? CREATED,
      labels: over.labels,
    },
    spec: { type: 'ClusterIP', clusterIP: '10.96.0.10', ports: [{ name: 'http', port: 80, protocol: 'TCP' }], ...spec },
    status: { loadBalancer: { ingress: over.ingress } },
  };
  return object as unknown as Service;
}

/** An endpoint; `on` is its node, `is` what its conditions say. */
export function endpoint(
  address: string,
  over: {
    on?: string;
    is?: { ready?: unknown; serving?: unknown; terminating?: unknown };
    zones?: string[];
    nodes?: string[];
  } = {},
): Endpoint {
  const names = (list: string[] | undefined) => list?.map((name) => ({ name }));
  const hints = over.zones || over.nodes ? { forZones: names(over.zones), forNodes: names(over.nodes) } : undefined;
  return {
    addresses: [address],
    nodeName: over.on ?? 'there',
    conditions: (over.is ?? { ready: true }) as Endpoint['conditions'],
    hints,
  };
}

export const TERMINATING = { ready: false, serving: true, terminating: true };
export const UNREADY = { ready: false, serving: false, terminating: false };

/** Slice default/web-1 of Service web, port http → 8080/TCP. */
export function slice(
  endpoints: unknown,
  over: {
    of?: string;
    addressType?: string;
    ports?: unknown;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
  } = {},
): EndpointSlice {
  const object = {
    metadata: {
      labels: { 'kubernetes.io/service-name': over.of ?? 'web', ...over.labels },
      annotations: over.annotations,
    },
    addressType: over.addressType ?? 'IPv4',
    ports: over.ports ?? [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints,
  };
  return object as unknown as EndpointSlice;
}
