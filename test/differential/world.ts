/**
 * The small world of the differential test: one node with two devices, its neighbours, and the addresses that
 * objects and clients are made of. The network is that of test/support/packet/network.ts.
 */
import { BRIDGE, NODE, NODE_SECOND } from '../support/packet/network.ts';

export type FamilyNumber = 4 | 6;
export type Both = Readonly<Record<FamilyNumber, string>>;

/** This node, and others. */
export const THIS_NODE = 'node-a';
export const NODES = [THIS_NODE, 'node-b', 'node-c'] as const;
export type NodeName = (typeof NODES)[number];

const both = (v4: string, v6: string): Both => ({ 4: v4, 6: v6 });
const range = <T>(from: number, count: number, of: (n: number) => T): readonly T[] =>
  Array.from({ length: count }, (_, i) => of(from + i));

/** The addresses that the kernel's devices have; more may be bound for a case. */
export const OWN_ADDRESSES: readonly Both[] = [NODE, NODE_SECOND, BRIDGE];
export const OTHER_NODES: Readonly<Record<'node-b' | 'node-c', Both>> = {
  'node-b': both('192.0.2.2', '2001:db8:1::2'),
  'node-c': both('192.0.2.3', '2001:db8:1::3'),
};

/** Pods by node. */
export const PODS: Readonly<Record<NodeName, readonly Both[]>> = {
  'node-a': range(5, 5, (n) => both(`10.1.1.${n}`, `fd00:1:1::${n}`)),
  'node-b': range(5, 4, (n) => both(`10.1.2.${n}`, `fd00:1:2::${n}`)),
  'node-c': range(5, 3, (n) => both(`10.1.3.${n}`, `fd00:1:3::${n}`)),
};
/** Endpoints in the host's network. */
export const HOST_NETWORK: Readonly<Record<NodeName, Both>> = { 'node-a': NODE, ...OTHER_NODES };

/** Clients that are no endpoints. */
export const POD_CLIENT = both('10.1.1.20', 'fd00:1:1::20');
/** On the pods' device, in no network that the configuration knows. */
export const STRAY_POD = both('172.20.0.9', 'fd77::9');
export const REMOTE_POD_CLIENT = both('10.1.2.20', 'fd00:1:2::20');
export const OUTSIDE = range(1, 200, (n) => both(`198.51.100.${n}`, `2001:db8:9::${n}`));

/** Networks that configurations name. */
export const CLUSTER_CIDR = both('10.1.0.0/16', 'fd00:1::/32');
export const POD_CIDR = both('10.1.1.0/24', 'fd00:1:1::/64');

/** Addresses that Services may have. */
export const CLUSTER_IPS = range(1, 12, (n) => both(`10.96.0.${n}`, `fd96::${n}`));
export const EXTERNAL_IPS = range(1, 5, (n) => both(`203.0.113.${n}`, `2001:db8:e::${n}`));
export const BALANCER_IPS = range(101, 5, (n) => both(`203.0.113.${n}`, `2001:db8:e::${n}`));
export const PORTS = [80, 443, 53] as const;
export const NODE_PORTS = [30080, 30443, 30053] as const;
export const TARGET_PORTS = [8080, 8443, 5353] as const;

/** The devices, as the model sees them: which one leads to an address, and which address it would masquerade with. */
export function deviceTowards(address: string): 'pod0' | 'node0' {
  return address.startsWith('10.1.1.') || address.startsWith('fd00:1:1:') ? 'pod0' : 'node0';
}
/** The kernel lists the IPv4 address that was added first first, and of IPv6 the last one. */
export const MASQUERADE = { pod0: BRIDGE, node0: { 4: NODE[4], 6: NODE_SECOND[6] } } as const;

export function familyNumber(address: string): FamilyNumber {
  return address.includes(':') ? 6 : 4;
}
