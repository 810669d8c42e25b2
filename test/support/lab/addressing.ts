/**
 * The address plan of a lab: pure, so that a test may know an address before the lab exists.
 *
 *   nodes     172.30.0.10+n /24     fd30::(10+n) /64      one L2; the router is .254, ::fe
 *   clients   172.31.0.10+n /24     fd31::(10+n) /64      behind the router
 *   pods      10.244.n.0/24         fd44:0:0:n::/64       the bridge is .1, ::1; the first pod .2, ::2
 */
export type IpFamily = 'IPv4' | 'IPv6';
export type Addresses = Partial<Record<IpFamily, string>>;

/** Bits of a host route, of the underlay and of a node's pod network. */
export const HOST_BITS: Record<IpFamily, number> = { IPv4: 32, IPv6: 128 };
export const SUBNET_BITS: Record<IpFamily, number> = { IPv4: 24, IPv6: 64 };

/** Conventional ranges; nothing in the lab routes them until asked to. */
export const SERVICE_CIDRS: Record<IpFamily, string> = { IPv4: '10.96.0.0/16', IPv6: 'fd96::/108' };
export const LOAD_BALANCER_CIDRS: Record<IpFamily, string> = { IPv4: '203.0.113.0/24', IPv6: 'fd13::/64' };
export const POD_CIDRS: Record<IpFamily, string> = { IPv4: '10.244.0.0/16', IPv6: 'fd44::/48' };

/** The device that leads to other nodes' pods with `underlay: 'vxlan'`, and what it takes, in bytes. */
export const OVERLAY_DEVICE = 'flannel.1';
export const OVERLAY_MTU = 1450;

const ROUTER = 254;

function pick(families: readonly IpFamily[], v4: string, v6: string): Addresses {
  const both = { IPv4: v4, IPv6: v6 };
  return Object.fromEntries(families.map((family) => [family, both[family]]));
}

/** @param n 1 for node1 */
export function nodeAddresses(n: number, families: readonly IpFamily[]): Addresses {
  return pick(families, `172.30.0.${10 + n}`, `fd30::${(10 + n).toString(16)}`);
}

/** @param n 1 for client1 */
export function clientAddresses(n: number, families: readonly IpFamily[]): Addresses {
  return pick(families, `172.31.0.${10 + n}`, `fd31::${(10 + n).toString(16)}`);
}

export function routerAddresses(side: 'nodes' | 'clients', families: readonly IpFamily[]): Addresses {
  const network = side === 'nodes' ? 30 : 31;
  return pick(families, `172.${network}.0.${ROUTER}`, `fd${network}::${ROUTER.toString(16)}`);
}

/** Pod networks of node n, without the length. */
export function podNetworks(n: number, families: readonly IpFamily[]): Addresses {
  return pick(families, `10.244.${n}.0`, `fd44:0:0:${n.toString(16)}::`);
}

/** @param host 1: the bridge; 2 and up: pods */
export function podAddresses(n: number, host: number, families: readonly IpFamily[]): Addresses {
  if (host < 1 || host > 254) throw new Error(`address a pod: node${n} has room for 253 pods`);
  return pick(families, `10.244.${n}.${host}`, `fd44:0:0:${n.toString(16)}::${host.toString(16)}`);
}

/** The MAC that the bridge CNI derives from the bridge's IPv4 address. */
export function bridgeMac(n: number): string {
  return ['0a', '58', ...[10, 244, n, 1].map((byte) => byte.toString(16).padStart(2, '0'))].join(':');
}

/** The family's entries that exist, as pairs. */
export function eachFamily(addresses: Addresses): [IpFamily, string][] {
  return (['IPv4', 'IPv6'] as const).flatMap((family) => {
    const address = addresses[family];
    return address === undefined ? [] : [[family, address] as [IpFamily, string]];
  });
}
