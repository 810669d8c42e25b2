/** The Services of a benchmark, as plain data: what rules are generated of, and API objects are made of. */

export interface ModelEndpoint {
  readonly address: string;
  readonly nodeName: string;
}

export interface ModelPort {
  readonly name: string;
  readonly protocol: 'TCP' | 'UDP';
  readonly port: number;
  readonly targetPort: number;
  readonly nodePort?: number;
}

export interface ModelService {
  readonly namespace: string;
  readonly name: string;
  readonly clusterIp: string;
  readonly ports: readonly ModelPort[];
  readonly endpoints: readonly ModelEndpoint[];
  /** externalTrafficPolicy: Local */
  readonly external?: 'Local';
}

export const NAMESPACE = 'bench';
export const POD_CIDR = '10.244.0.0/16';
export const SERVICE_CIDR = '10.96.0.0/16';

const byte = (value: number, shift: number) => (value >>> shift) & 255;

/** Cluster address of Service number i: 1 … 65,534. */
export function clusterIpOf(i: number): string {
  return `10.96.${byte(i, 8)}.${byte(i, 0)}`;
}

/** An address that no pod has: endpoints of Services that nobody dials. */
export function fillerAddress(n: number): string {
  return `10.${200 + byte(n, 16)}.${byte(n, 8)}.${byte(n, 0)}`;
}

export const HTTP: ModelPort = { name: 'http', protocol: 'TCP', port: 80, targetPort: 8080 };

/** Service number i, which only makes the tables longer. */
export function fillerService(i: number, endpoints: number, nodes = 3): ModelService {
  return {
    namespace: NAMESPACE,
    name: `svc-${i}`,
    clusterIp: clusterIpOf(i),
    ports: [HTTP],
    endpoints: Array.from({ length: endpoints }, (_, k) => ({
      address: fillerAddress((i * endpoints + k) % 0x370000),
      nodeName: `other${k % nodes}`,
    })),
  };
}

/** Numbers of the Services that are dialled: spread evenly over the list, so that their place in it averages out. */
export function targetNumbers(size: number, most = 16): number[] {
  const count = Math.min(size, most);
  return Array.from({ length: count }, (_, k) => 1 + Math.floor(((k + 0.5) * size) / count));
}

/** `size` Services: those that are dialled lead to `endpoints`, the others to one address that nobody has. */
export function modelServices(
  size: number,
  ports: readonly ModelPort[],
  endpoints: readonly ModelEndpoint[],
): ModelService[] {
  const targets = new Set(targetNumbers(size));
  return Array.from({ length: size }, (_, k) => k + 1).map((i) =>
    targets.has(i)
      ? { namespace: NAMESPACE, name: `svc-${i}`, clusterIp: clusterIpOf(i), ports, endpoints }
      : fillerService(i, 1),
  );
}

/** Its API object. */
export function serviceObject(service: ModelService): object {
  const exposed = service.ports.some((port) => port.nodePort !== undefined);
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: service.name, namespace: service.namespace },
    spec: {
      type: exposed ? 'NodePort' : 'ClusterIP',
      clusterIP: service.clusterIp,
      clusterIPs: [service.clusterIp],
      ipFamilies: ['IPv4'],
      ...(service.external ? { externalTrafficPolicy: service.external } : {}),
      ports: service.ports,
    },
  };
}

/** Its one EndpointSlice. @param ready by endpoint; default all */
export function sliceObject(service: ModelService, ready: (k: number) => boolean = () => true): object {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${service.name}-abcde`,
      namespace: service.namespace,
      labels: { 'kubernetes.io/service-name': service.name },
    },
    addressType: 'IPv4',
    ports: service.ports.map(({ name, targetPort, protocol }) => ({ name, port: targetPort, protocol })),
    endpoints: service.endpoints.map(({ address, nodeName }, k) => ({
      addresses: [address],
      nodeName,
      conditions: { ready: ready(k), serving: ready(k), terminating: false },
      targetRef: { kind: 'Pod', namespace: service.namespace, name: `${service.name}-${k}` },
    })),
  };
}
