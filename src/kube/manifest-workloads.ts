/** Pods and v1 Endpoints, as files carry them. Nothing here trusts a type. */
import type { KubernetesObject } from '../model/kubernetes.ts';
import { stripMetadata } from './strip.ts';

export interface ContainerPort {
  name?: string;
  containerPort?: number;
  protocol?: string;
}

export interface Container {
  ports?: ContainerPort[];
  restartPolicy?: string;
}

export interface Pod extends KubernetesObject {
  spec?: { nodeName?: string; containers?: Container[]; initContainers?: Container[] };
  status?: {
    phase?: string;
    podIP?: string;
    podIPs?: { ip?: string }[];
    conditions?: { type?: string; status?: string }[];
  };
}

export interface EndpointAddress {
  ip?: string;
  nodeName?: string;
}

export interface Endpoints extends KubernetesObject {
  subsets?: {
    addresses?: EndpointAddress[];
    notReadyAddresses?: EndpointAddress[];
    ports?: { name?: string; port?: number; protocol?: string }[];
  }[];
}

/** @returns the items that are objects; none for anything but a list. */
export function objectsIn<T extends object>(list: readonly T[] | undefined | null): T[] {
  return Array.isArray(list) ? list.filter((item): item is T => typeof item === 'object' && item !== null) : [];
}

/** A new, small object. */
export function stripPod(pod: Pod): Pod {
  const { spec, status } = pod;
  const ports = (containers: Container[] | undefined): Container[] =>
    objectsIn(containers).map((container) => ({ ports: container.ports, restartPolicy: container.restartPolicy }));
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: stripMetadata(pod.metadata),
    spec: {
      nodeName: spec?.nodeName,
      containers: ports(spec?.containers),
      initContainers: ports(spec?.initContainers),
    },
    status: {
      phase: status?.phase,
      podIP: status?.podIP,
      podIPs: status?.podIPs,
      conditions: objectsIn(status?.conditions)
        .filter(({ type }) => type === 'Ready')
        .map(({ type, status }) => ({ type, status })),
    },
  };
}

const LEADER = 'control-plane.alpha.kubernetes.io/leader';

/** A new object. One that only elects a leader has no subsets any more: a cluster does not mirror it. */
export function stripEndpoints(endpoints: Endpoints): Endpoints {
  const leads = endpoints.metadata?.annotations?.[LEADER] !== undefined;
  return {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: stripMetadata(endpoints.metadata),
    subsets: leads ? [] : objectsIn(endpoints.subsets),
  };
}
