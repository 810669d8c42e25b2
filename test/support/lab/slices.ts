/** What the EndpointSlice controller of a cluster does, without a clock or I/O: Service and pods in, slices out. */
import type { Endpoint, EndpointSlice, Service, ServicePortSpec } from '../../../src/model/kubernetes.ts';
import type { Addresses, IpFamily } from './addressing.ts';

export interface ContainerPort {
  readonly name: string;
  readonly port: number;
  readonly protocol: string;
}

/** `running`: ready. `starting`: not yet. `terminating`: deleted, and still serving. */
export type PodPhase = 'starting' | 'running' | 'terminating';

export interface PodView {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly nodeName: string;
  readonly addresses: Addresses;
  readonly ports: readonly ContainerPort[];
  readonly phase: PodPhase;
}

/** The fields of a Service that kube-proxies do not read and the EndpointSlice controller does. */
export type SelectingService = Service & { spec?: { selector?: Record<string, string> } };

function selects(service: SelectingService, pod: PodView): boolean {
  const selector = Object.entries(service.spec?.selector ?? {});
  if (selector.length === 0 || service.metadata?.namespace !== pod.namespace) return false;
  return selector.every(([label, value]) => pod.labels[label] === value);
}

/** The number that a Service port has on a pod; undefined when the pod does not have that named port. */
function resolvePort(port: ServicePortSpec, pod: PodView): number | undefined {
  const target = port.targetPort ?? port.port;
  if (typeof target === 'number') return target;
  return pod.ports.find(({ name, protocol }) => name === target && protocol === (port.protocol ?? 'TCP'))?.port;
}

function slicePorts(service: Service, pod: PodView): EndpointSlice['ports'] {
  return (service.spec?.ports ?? []).flatMap((port) => {
    const number = resolvePort(port, pod);
    const { name = '', protocol = 'TCP', appProtocol } = port;
    return number === undefined ? [] : [{ name, protocol, port: number, ...(appProtocol ? { appProtocol } : {}) }];
  });
}

function endpoint(pod: PodView, address: string): Endpoint {
  const terminating = pod.phase === 'terminating';
  const ready = pod.phase === 'running';
  const targetRef = { kind: 'Pod', namespace: pod.namespace, name: pod.name };
  const conditions = { ready, serving: ready || terminating, terminating };
  return { addresses: [address], conditions, nodeName: pod.nodeName, targetRef } as Endpoint;
}

/** Pods whose ports have the same numbers share a slice. */
function groups(service: SelectingService, pods: readonly PodView[]): PodView[][] {
  const byPorts = new Map<string, PodView[]>();
  for (const pod of pods.filter((candidate) => selects(service, candidate))) {
    const key = JSON.stringify(slicePorts(service, pod));
    byPorts.set(key, [...(byPorts.get(key) ?? []), pod]);
  }
  return [...byPorts.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group);
}

/** The slices of a Service: one per family and set of port numbers, none for a Service without a selector. */
export function buildSlices(service: SelectingService, pods: readonly PodView[]): EndpointSlice[] {
  const families = (service.spec?.ipFamilies ?? ['IPv4']) as IpFamily[];
  const { namespace, name } = service.metadata ?? {};
  const headless = service.spec?.clusterIP === 'None';
  return families.flatMap((family) =>
    groups(service, pods).map((group, index) => ({
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {
        namespace,
        name: `${name}-${family.toLowerCase()}-${index}`,
        labels: {
          'kubernetes.io/service-name': name ?? '',
          'endpointslice.kubernetes.io/managed-by': 'lab',
          ...(headless ? { 'service.kubernetes.io/headless': '' } : {}),
        },
      },
      addressType: family,
      endpoints: group.flatMap((pod) => {
        const address = pod.addresses[family];
        return address === undefined ? [] : [endpoint(pod, address)];
      }),
      ports: slicePorts(service, group[0] as PodView),
    })),
  );
}
