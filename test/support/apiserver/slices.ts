/** EndpointSlices for a Service from a list of pods, as the EndpointSlice controller would make them. */
import { createHash } from 'node:crypto';
import { isIPv6 } from 'node:net';
import type { Endpoint, EndpointSlice, Service } from '../../../src/model/kubernetes.ts';

export interface SlicePod {
  readonly name?: string;
  /** One of each family at most. */
  readonly addresses: readonly string[];
  readonly nodeName?: string;
  readonly zone?: string;
  /** Default: true, and false while it terminates. */
  readonly ready?: boolean;
  /** Default: as ready; true while it terminates unless said otherwise. */
  readonly serving?: boolean;
  readonly terminating?: boolean;
  readonly hintZones?: readonly string[];
  readonly hintNodes?: readonly string[];
  /** Numbers of this pod for named target ports; pods with others get slices of their own. */
  readonly namedPorts?: Readonly<Record<string, number>>;
}

export interface SliceOptions {
  /** Endpoints a slice. Default: 100. */
  readonly maxEndpoints?: number;
  /** For `endpoints.kubernetes.io/last-change-trigger-time`. Default: left out. */
  readonly triggerTime?: Date;
}

type ServiceWithMeta = Service & { metadata?: { uid?: string } };

/** @returns slices with stable names: the same pods give the same slices. */
export function buildSlices(
  service: ServiceWithMeta,
  pods: readonly SlicePod[],
  options: SliceOptions = {},
): EndpointSlice[] {
  const families = service.spec?.ipFamilies ?? ['IPv4'];
  const slices: EndpointSlice[] = [];
  for (const family of families) {
    const groups = new Map<string, { ports: NonNullable<EndpointSlice['ports']>; endpoints: Endpoint[] }>();
    for (const pod of pods) {
      const address = pod.addresses.find((text) => isIPv6(text) === (family === 'IPv6'));
      if (address === undefined) continue;
      const ports = portsOf(service, pod);
      const id = JSON.stringify(ports);
      const group = groups.get(id) ?? { ports, endpoints: [] };
      groups.set(id, group);
      group.endpoints.push(endpointOf(pod, address));
    }
    if (groups.size === 0) groups.set('', { ports: [], endpoints: [] });
    for (const [id, { ports, endpoints }] of groups) {
      const most = options.maxEndpoints ?? 100;
      for (let start = 0; start === 0 || start < endpoints.length; start += most) {
        const suffix = createHash('sha1').update(`${family}${id}${start}`).digest('hex').slice(0, 5);
        slices.push(sliceOf(service, suffix, family, ports, endpoints.slice(start, start + most), options));
      }
    }
  }
  return slices;
}

function portsOf(service: Service, pod: SlicePod): NonNullable<EndpointSlice['ports']> {
  return (service.spec?.ports ?? []).flatMap((port) => {
    const target = port.targetPort ?? port.port;
    const number = typeof target === 'string' ? pod.namedPorts?.[target] : target;
    return number === undefined ? [] : [{ name: port.name ?? '', port: number, protocol: port.protocol ?? 'TCP' }];
  });
}

function endpointOf(pod: SlicePod, address: string): Endpoint {
  const terminating = pod.terminating ?? false;
  const ready = pod.ready ?? !terminating;
  const hints = {
    ...(pod.hintZones ? { forZones: pod.hintZones.map((name) => ({ name })) } : {}),
    ...(pod.hintNodes ? { forNodes: pod.hintNodes.map((name) => ({ name })) } : {}),
  };
  return {
    addresses: [address],
    conditions: { ready, serving: pod.serving ?? (ready || terminating), terminating },
    ...(pod.nodeName ? { nodeName: pod.nodeName } : {}),
    ...(pod.zone ? { zone: pod.zone } : {}),
    ...(Object.keys(hints).length > 0 ? { hints } : {}),
    ...(pod.name ? { targetRef: { kind: 'Pod', name: pod.name } } : {}),
  };
}

function sliceOf(
  service: ServiceWithMeta,
  suffix: string,
  addressType: string,
  ports: EndpointSlice['ports'],
  endpoints: Endpoint[],
  options: SliceOptions,
): EndpointSlice {
  const { name = '', namespace = 'default', uid } = service.metadata ?? {};
  const labels: Record<string, string> = {
    'kubernetes.io/service-name': name,
    'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
  };
  if (service.spec?.clusterIP === 'None') labels['service.kubernetes.io/headless'] = '';
  const annotations = options.triggerTime && {
    'endpoints.kubernetes.io/last-change-trigger-time': options.triggerTime.toISOString(),
  };
  const owner = { apiVersion: 'v1', kind: 'Service', name, uid, controller: true, blockOwnerDeletion: true };
  const metadata = {
    name: `${name}-${suffix}`,
    namespace,
    labels,
    ...(annotations ? { annotations } : {}),
    ...(uid ? { ownerReferences: [owner] } : {}),
  };
  return { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata, addressType, ports, endpoints };
}
