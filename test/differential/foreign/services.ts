/** Services whose frontends have the numbers that foreign traffic uses: NodePorts over the whole range, addresses of hosts. */
import type { EndpointSlice, KubernetesObject, Service } from '../../../src/model/kubernetes.ts';
import { nodeObject } from '../../support/lab/nodes.ts';
import type { World } from './world.ts';

const COUNT = 220;
/** The NodePorts of the Services, in TCP, UDP and SCTP. */
export const NODE_PORTS: readonly number[] = Array.from({ length: COUNT }, (_, i) => 30_001 + i * 12);
/** A frontend at the addresses of outside1 and node2, which are external IPs. */
export const REMOTE_PORT = 7777;
/** A frontend at node1's own address, which is a load balancer's. */
export const OWN_PORT = 8443;
/** What pods serve, as Services have it. */
export const BACKEND_PORT = 8080;

const PROTOCOLS = ['TCP', 'UDP', 'SCTP'] as const;
const hex = (n: number) => n.toString(16);

function slicesOf(name: string, backends: Readonly<Record<'IPv4' | 'IPv6', readonly string[]>>): EndpointSlice[] {
  return (['IPv4', 'IPv6'] as const).map((family) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${name}-${family.toLowerCase()}`,
      namespace: 'default',
      labels: { 'kubernetes.io/service-name': name },
    },
    addressType: family,
    ports: PROTOCOLS.map((protocol) => ({ name: protocol.toLowerCase(), port: BACKEND_PORT, protocol })),
    endpoints: backends[family].map((address) => ({ addresses: [address], conditions: { ready: true } })),
  }));
}

interface Shape {
  readonly n: number;
  readonly port: number;
  readonly nodePort?: number;
  readonly externalIPs?: readonly string[];
  readonly balancerIPs?: readonly string[];
}

function serviceOf(name: string, { n, port, nodePort, externalIPs = [], balancerIPs = [] }: Shape): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'default' },
    spec: {
      type: balancerIPs.length > 0 ? 'LoadBalancer' : nodePort === undefined ? 'ClusterIP' : 'NodePort',
      clusterIP: `10.96.1.${n}`,
      clusterIPs: [`10.96.1.${n}`, `fd96::1:${hex(n)}`],
      ipFamilies: ['IPv4', 'IPv6'],
      externalIPs: [...externalIPs],
      ports: PROTOCOLS.map((protocol) => ({
        name: protocol.toLowerCase(),
        protocol,
        port,
        ...(nodePort === undefined ? {} : { nodePort }),
      })),
    },
    status: { loadBalancer: { ingress: balancerIPs.map((ip) => ({ ip })) } },
  };
}

/** All objects of the cluster. */
export function clusterObjects(world: World): KubernetesObject[] {
  const { lab } = world;
  const far = { IPv4: [lab.pod(2, 1).ipv4], IPv6: [lab.pod(2, 1).ipv6] };
  const near = { IPv4: [lab.pod(1, 1).ipv4], IPv6: [lab.pod(1, 1).ipv6] };
  const both = (name: 'outside1' | 'node1' | 'node2') => [world.address(name, 4), world.address(name, 6)];
  return [
    ...lab.nodes.map(nodeObject),
    ...NODE_PORTS.flatMap((nodePort, i) => {
      const name = `port-${nodePort}`;
      return [serviceOf(name, { n: i + 10, port: 80, nodePort }), ...slicesOf(name, i % 2 === 0 ? far : near)];
    }),
    serviceOf('remote', { n: 1, port: REMOTE_PORT, externalIPs: [...both('outside1'), ...both('node2')] }),
    ...slicesOf('remote', far),
    serviceOf('own', { n: 2, port: OWN_PORT, balancerIPs: both('node1') }),
    ...slicesOf('own', near),
  ];
}
