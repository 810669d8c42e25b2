/** A Service that stays, and one that comes, changes and goes, with a row in each map that Services fill. */
import type { EndpointSlice, Service } from '../../../src/model/kubernetes.ts';
import { service, slices } from '../cluster/objects.ts';

export interface Wanted {
  readonly service: Service | undefined;
  readonly slices: readonly EndpointSlice[];
}

const NODE = { name: 'node1' };
const pod = (n: number) => ({ ipv4: `10.244.1.${n}`, ipv6: `fd00:10:244:1::${n.toString(16)}`, node: NODE });

function slicesOf(name: string, pods: readonly number[]): EndpointSlice[] {
  // Only addresses and the node's name of a pod count.
  return slices(
    name,
    pods.map((n) => pod(n) as Parameters<typeof slices>[1][number]),
  );
}

export function still(): Wanted {
  const spec: Service['spec'] = { sessionAffinity: 'ClientIP', loadBalancerSourceRanges: ['192.0.2.0/24'] };
  return { service: service('still', 41, spec), slices: slicesOf('still', [11, 12]) };
}

/** @param state 0: not there; 1: with affinity and source ranges; 2: without, other endpoints */
export function moving(state: number): Wanted {
  if (state === 0) return { service: undefined, slices: [] };
  const spec: Service['spec'] = { sessionAffinity: 'ClientIP', loadBalancerSourceRanges: ['198.51.100.0/24'] };
  if (state === 1) return { service: service('moving', 42, spec), slices: slicesOf('moving', [21, 22]) };
  return { service: service('moving', 43), slices: slicesOf('moving', [22, 23, 24]) };
}
