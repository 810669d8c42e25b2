/** Services and EndpointSlices for tests that write them by hand, both families at once. */
import type { Endpoint, EndpointSlice, KubernetesObject, Service } from '../../../src/model/kubernetes.ts';
import type { IpFamily } from '../lab/addressing.ts';
import type { Pod } from '../lab/node.ts';

/** What the pods of the cluster tests serve: HTTP, TCP and UDP. */
export const POD_PORTS = { http: 8080, tcp: 9090, udp: 5353 } as const;
/** What their Services are dialled at. */
export const SERVICE_PORTS = { http: 80, tcp: 90, udp: 53 } as const;

const FAMILIES: readonly IpFamily[] = ['IPv4', 'IPv6'];

/** Addresses that belong to the nth Service of a test. */
export function addressesOf(n: number): Record<'clusterIp' | 'externalIp' | 'balancerIp', Record<IpFamily, string>> {
  return {
    clusterIp: { IPv4: `10.96.0.${n}`, IPv6: `fd96::${n}` },
    externalIp: { IPv4: `198.51.100.${n}`, IPv6: `fd15::${n}` },
    balancerIp: { IPv4: `203.0.113.${n}`, IPv6: `fd13::${n}` },
  };
}

/** The NodePort of the HTTP and UDP ports of the nth Service; the TCP port's is 100 higher. */
export function nodePortOf(n: number): number {
  return 30_000 + n;
}

/** The nth Service of a test: with every kind of frontend, in both families. */
export function service(name: string, n: number, spec: Service['spec'] = {}): Service {
  const { clusterIp, externalIp, balancerIp } = addressesOf(n);
  const nodePort = nodePortOf(n);
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'default' },
    spec: {
      type: 'LoadBalancer',
      clusterIP: clusterIp.IPv4,
      clusterIPs: FAMILIES.map((family) => clusterIp[family]),
      ipFamilies: [...FAMILIES],
      externalIPs: FAMILIES.map((family) => externalIp[family]),
      externalTrafficPolicy: 'Cluster',
      ports: [
        { name: 'http', port: SERVICE_PORTS.http, protocol: 'TCP', nodePort },
        { name: 'tcp', port: SERVICE_PORTS.tcp, protocol: 'TCP', nodePort: nodePort + 100 },
        { name: 'udp', port: SERVICE_PORTS.udp, protocol: 'UDP', nodePort },
      ],
      ...spec,
    },
    status: { loadBalancer: { ingress: FAMILIES.map((family) => ({ ip: balancerIp[family], ipMode: 'VIP' })) } },
  };
}

/** Pods as endpoints, with conditions other than ready where given. */
export interface Target {
  readonly pod: Pod;
  readonly conditions?: Endpoint['conditions'];
}

/** One slice a family, that lead to the pods; without pods they are empty. */
export function slices(name: string, targets: readonly (Pod | Target)[]): EndpointSlice[] {
  return FAMILIES.map((family) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${name}-${family.toLowerCase()}`,
      namespace: 'default',
      labels: { 'kubernetes.io/service-name': name },
    },
    addressType: family,
    ports: [
      { name: 'http', port: POD_PORTS.http, protocol: 'TCP' },
      { name: 'tcp', port: POD_PORTS.tcp, protocol: 'TCP' },
      { name: 'udp', port: POD_PORTS.udp, protocol: 'UDP' },
    ],
    endpoints: targets.map((target) => {
      const { pod, conditions = { ready: true } } = 'pod' in target ? target : { pod: target };
      return {
        addresses: [family === 'IPv4' ? pod.ipv4 : pod.ipv6],
        nodeName: pod.node.name,
        conditions,
      };
    }),
  }));
}

/** The same as v1 Endpoints, which kube-proxy before 1.21 is fed by: IPv4 alone. */
export function endpoints(name: string, pods: readonly Pod[]): [KubernetesObject] {
  const ports = (['http', 'tcp', 'udp'] as const).map((port) => ({
    name: port,
    port: POD_PORTS[port],
    protocol: port === 'udp' ? 'UDP' : 'TCP',
  }));
  const addresses = pods.map((pod) => ({ ip: pod.ipv4, nodeName: pod.node.name }));
  const subsets = [{ addresses, ports }];
  return [
    { apiVersion: 'v1', kind: 'Endpoints', metadata: { name, namespace: 'default' }, subsets } as KubernetesObject,
  ];
}
