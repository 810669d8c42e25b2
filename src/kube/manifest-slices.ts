/** EndpointSlices of files as an API server would give them out: defaults filled in, v1beta1 as v1. */
import type { Endpoint, EndpointSlice, KubernetesObject } from '../model/kubernetes.ts';

/** Changes the object in place: a port without a name is the unnamed port. */
export function completeSlice(slice: EndpointSlice): EndpointSlice {
  if (Array.isArray(slice.ports)) {
    slice.ports = slice.ports.map((port) =>
      typeof port === 'object' && port !== null ? { ...port, name: port.name ?? '' } : port,
    );
  }
  return slice;
}

/** v1beta1 has the node and the zone in `topology`. @returns a new object */
export function sliceOfBeta(object: KubernetesObject): EndpointSlice {
  const slice = object as EndpointSlice;
  if (!Array.isArray(slice.endpoints)) return slice;
  const endpoints = slice.endpoints.map((endpoint: Endpoint & { topology?: Record<string, string> }) => {
    if (typeof endpoint !== 'object' || endpoint === null) return endpoint;
    const { topology, ...rest } = endpoint;
    return {
      ...rest,
      nodeName: rest.nodeName ?? topology?.['kubernetes.io/hostname'],
      zone: rest.zone ?? topology?.['topology.kubernetes.io/zone'],
    };
  });
  return { ...slice, endpoints };
}
