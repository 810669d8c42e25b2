/** The Node objects of a lab. */
import type { Node } from '../../../src/model/kubernetes.ts';
import { eachFamily } from './addressing.ts';
import type { LabNode } from './node.ts';

/** `zone-a` for node1, `zone-b` for node2, … */
export function zoneOf(node: LabNode): string {
  return `zone-${String.fromCharCode(96 + node.n)}`;
}

/** What kubelet and the node controller would have written. */
export function nodeObject(node: LabNode): Node {
  const podCIDRs = eachFamily(node.podCidrs).map(([, cidr]) => cidr);
  const internal = eachFamily(node.addresses).map(([, address]) => ({ type: 'InternalIP', address }));
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name: node.name,
      labels: { 'kubernetes.io/hostname': node.name, 'topology.kubernetes.io/zone': zoneOf(node) },
    },
    spec: { podCIDR: podCIDRs[0], podCIDRs },
    status: { addresses: [...internal, { type: 'Hostname', address: node.name }] },
  };
}
