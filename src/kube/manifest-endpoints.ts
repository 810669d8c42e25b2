/**
 * What a cluster's controllers would make of Services without EndpointSlices: slices of the Pods that the selector
 * names, and mirrors of Endpoints.
 */
import { familyOf, parseAddress } from '../model/address.ts';
import {
  type Endpoint,
  type EndpointSlice,
  type KubernetesObject,
  objectKey,
  type Service,
  type ServicePortSpec,
} from '../model/kubernetes.ts';
import { type Container, type Endpoints, objectsIn, type Pod } from './manifest-workloads.ts';

const SERVICE_NAME = 'kubernetes.io/service-name';
const SKIP_MIRROR = 'endpointslice.kubernetes.io/skip-mirror';
const ZONE = 'topology.kubernetes.io/zone';

export interface Workloads {
  readonly services: Iterable<Service>;
  /** Those of the files. */
  readonly slices: Iterable<EndpointSlice>;
  readonly endpoints: ReadonlyMap<string, Endpoints>;
  readonly pods: Iterable<Pod>;
  /** For the zone of a Pod. */
  readonly nodes: Iterable<KubernetesObject>;
}

export interface Derived {
  readonly slices: EndpointSlice[];
  /** Pods that would be backends, had they an address, and what to do. */
  readonly notes: { readonly object: string; readonly message: string }[];
}

type Ports = NonNullable<EndpointSlice['ports']>;

/** Pure. Services of type ExternalName, and those that a slice names, are left alone. */
export function deriveSlices(input: Workloads): Derived {
  const sliced = new Set<string>();
  for (const { metadata } of input.slices) {
    const name = metadata?.labels?.[SERVICE_NAME];
    if (name !== undefined) sliced.add(`${metadata?.namespace}/${name}`);
  }
  const zones = new Map<string | undefined, string | undefined>();
  for (const { metadata } of input.nodes) zones.set(metadata?.name, metadata?.labels?.[ZONE]);
  const podsOf = groupByNamespace(input.pods);
  const derived: Derived = { slices: [], notes: [] };
  for (const service of input.services) {
    const key = objectKey(service);
    if (service.spec?.type === 'ExternalName' || sliced.has(key)) continue;
    const selector = Object.entries((service.spec as { selector?: object } | undefined)?.selector ?? {});
    const selected =
      selector.length === 0
        ? []
        : (podsOf.get(namespaceOf(service)) ?? []).filter(({ metadata }) =>
            selector.every(([label, value]) => metadata?.labels?.[label] === value),
          );
    const mirrored = input.endpoints.get(key);
    if (selected.length > 0) ofPods(service, selected, zones, derived);
    else if (mirrored !== undefined && mirrored.metadata?.labels?.[SKIP_MIRROR] !== 'true')
      ofEndpoints(service, mirrored, zones, derived);
  }
  return derived;
}

const namespaceOf = (object: KubernetesObject) => object.metadata?.namespace;

function groupByNamespace(pods: Iterable<Pod>): Map<string | undefined, Pod[]> {
  const groups = new Map<string | undefined, Pod[]>();
  for (const pod of pods) {
    const group = groups.get(namespaceOf(pod));
    if (group === undefined) groups.set(namespaceOf(pod), [pod]);
    else group.push(pod);
  }
  return groups;
}

type Zones = ReadonlyMap<string | undefined, string | undefined>;

function ofPods(service: Service, pods: readonly Pod[], zones: Zones, { slices, notes }: Derived): void {
  const everReady = (service.spec as { publishNotReadyAddresses?: unknown }).publishNotReadyAddresses === true;
  /** Pods whose ports have other numbers go to other slices. */
  const groups = new Map<string, { ports: Ports; addresses: { ip: string; endpoint: Endpoint }[] }>();
  for (const pod of pods) {
    const { phase, podIP, podIPs, conditions } = pod.status ?? {};
    if (phase === 'Failed' || phase === 'Succeeded') continue;
    const ips = objectsIn(podIPs).length > 0 ? objectsIn(podIPs).map(({ ip }) => ip) : [podIP];
    if (ips.every((ip) => ip === undefined) && phase === undefined) {
      const message = `Pod ${objectKey(pod)} has no status.podIP, so it is no backend of Service ${objectKey(service)}: write the address and the condition Ready as "kubectl get pod -o yaml" shows them, or an EndpointSlice`;
      notes.push({ object: `Pod ${objectKey(pod)}`, message });
    }
    const ports = objectsIn(service.spec?.ports).flatMap((port) => portOf(port, pod));
    const serving = conditions?.some(({ status }) => status === 'True') === true;
    const terminating = pod.metadata?.deletionTimestamp !== undefined;
    const ready = everReady || (serving && !terminating);
    const nodeName = pod.spec?.nodeName;
    const group = groups.get(JSON.stringify(ports)) ?? { ports, addresses: [] };
    groups.set(JSON.stringify(ports), group);
    for (const ip of ips) {
      if (typeof ip !== 'string') continue;
      const conditions = { ready, serving, terminating };
      group.addresses.push({ ip, endpoint: { addresses: [ip], conditions, nodeName, zone: zones.get(nodeName) } });
    }
  }
  let number = 0;
  for (const { ports, addresses } of groups.values())
    slices.push(...slicesOf(service, `pods-${number++}`, ports, addresses));
}

/** None when the Pod has no port of that name: then it does not serve this one. */
function portOf({ name, port, protocol = 'TCP', targetPort }: ServicePortSpec, pod: Pod): Ports {
  const number = typeof targetPort === 'string' ? namedPort(pod, targetPort, protocol) : targetPort || port;
  return number === undefined ? [] : [{ name: name ?? '', protocol, port: number }];
}

function namedPort({ spec }: Pod, name: string, protocol: string): number | undefined {
  const sidecars = objectsIn(spec?.initContainers).filter(({ restartPolicy }) => restartPolicy === 'Always');
  return [...objectsIn(spec?.containers), ...sidecars]
    .flatMap((container: Container) => objectsIn(container.ports))
    .find((port) => port.name === name && (port.protocol ?? 'TCP') === protocol)?.containerPort;
}

function ofEndpoints(service: Service, { subsets }: Endpoints, zones: Zones, { slices }: Derived): void {
  for (const [i, subset] of (subsets ?? []).entries()) {
    const ports = objectsIn(subset.ports).map(({ name = '', port, protocol }) => ({ name, port, protocol }));
    const addresses = (
      [
        ['addresses', true],
        ['notReadyAddresses', false],
      ] as const
    ).flatMap(([field, ready]) =>
      objectsIn(subset[field]).flatMap(({ ip, nodeName }) =>
        typeof ip === 'string'
          ? [{ ip, endpoint: { addresses: [ip], conditions: { ready }, nodeName, zone: zones.get(nodeName) } }]
          : [],
      ),
    );
    slices.push(...slicesOf(service, `mirror-${i}`, ports, addresses));
  }
}

/** One slice a family: a slice holds addresses of one. */
function slicesOf(
  { metadata }: Service,
  suffix: string,
  ports: Ports,
  addresses: readonly { ip: string; endpoint: Endpoint }[],
): EndpointSlice[] {
  return (['IPv4', 'IPv6'] as const).flatMap((family): EndpointSlice[] => {
    // What is no address at all is left to the compiler, which tells it.
    const endpoints = addresses
      .filter(({ ip }) => familyOf(parseAddress(ip) ?? '0.0.0.0') === family)
      .map(({ endpoint }) => endpoint);
    if (endpoints.length === 0) return [];
    return [
      {
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: {
          name: `${metadata?.name}-${suffix}-${family.toLowerCase()}`,
          namespace: metadata?.namespace,
          labels: { [SERVICE_NAME]: metadata?.name ?? '' },
        },
        addressType: family,
        ports,
        endpoints,
      },
    ];
  });
}
