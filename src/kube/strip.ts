/**
 * Drops what nobody reads, before anything keeps the object: managedFields and foreign annotations
 * alone are often larger than the rest. Nothing here trusts a type: the objects are as they arrived.
 */
import type { EndpointSlice, KubernetesObject, Node, ObjectMeta, Service, ServiceCIDR } from '../model/kubernetes.ts';

function isKept(annotation: string): boolean {
  return (
    annotation === 'endpoints.kubernetes.io/last-change-trigger-time' ||
    annotation === 'kubernetes.io/config.hash' ||
    annotation === 'service.cilium.io/weight' ||
    annotation.startsWith('service.kubernetes.io/') ||
    annotation.startsWith('sluice.io/')
  );
}

function stripAnnotations(annotations: unknown): Record<string, string> | undefined {
  if (typeof annotations !== 'object' || annotations === null) return undefined;
  let kept: Record<string, string> | undefined;
  for (const [key, value] of Object.entries(annotations)) {
    if (!isKept(key)) continue;
    kept ??= {};
    kept[key] = value;
  }
  return kept;
}

export function stripMetadata(metadata: ObjectMeta | undefined): ObjectMeta {
  return {
    name: metadata?.name,
    namespace: metadata?.namespace,
    uid: metadata?.uid,
    resourceVersion: metadata?.resourceVersion,
    creationTimestamp: metadata?.creationTimestamp,
    deletionTimestamp: metadata?.deletionTimestamp,
    labels: metadata?.labels,
    annotations: stripAnnotations(metadata?.annotations),
  };
}

/** Changes the object in place: it is ours alone. */
export function stripService(service: Service): Service {
  service.metadata = stripMetadata(service.metadata);
  return service;
}

/** Changes the object in place. */
export function stripSlice(slice: EndpointSlice): EndpointSlice {
  slice.metadata = stripMetadata(slice.metadata);
  if (Array.isArray(slice.endpoints)) {
    for (const endpoint of slice.endpoints as ({ targetRef?: unknown } | null)[]) {
      if (endpoint?.targetRef !== undefined) endpoint.targetRef = undefined;
    }
  }
  return slice;
}

/** A new, small object: a Node's status lists every image it has pulled. */
export function stripNode(node: Node): Node {
  const { spec, status } = node;
  return {
    // Items of a list come without them, watch events with.
    apiVersion: 'v1',
    kind: 'Node',
    metadata: stripMetadata(node.metadata),
    spec: { podCIDR: spec?.podCIDR, podCIDRs: spec?.podCIDRs, taints: spec?.taints },
    status: { addresses: status?.addresses },
  };
}

/** A new, small object. */
export function stripServiceCidr(object: ServiceCIDR): ServiceCIDR {
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'ServiceCIDR',
    metadata: { name: object.metadata?.name, resourceVersion: object.metadata?.resourceVersion },
    spec: { cidrs: object.spec?.cidrs },
  };
}

/** Text that is equal for two stripped nodes that differ in their resourceVersion alone. */
export function nodeContent(node: Node): string {
  return JSON.stringify({ ...node, metadata: { ...node.metadata, resourceVersion: undefined } });
}

/** @returns true for an object that can be keyed: it has a name of text. */
export function hasName(object: unknown): object is KubernetesObject {
  const metadata = (object as KubernetesObject | null | undefined)?.metadata;
  return typeof metadata === 'object' && metadata !== null && typeof metadata.name === 'string' && metadata.name !== '';
}
