/** What the Node object says, whatever shape it arrives in. */
import { type Address, type Family, familyOf, parseAddress } from '../model/address.ts';
import { parseCidr } from '../model/cidr.ts';
import type { Cidr } from '../model/compiled.ts';
import type { Configuration } from '../model/configuration.ts';
import type { Node } from '../model/kubernetes.ts';

const ZONE_LABEL = 'topology.kubernetes.io/zone';

/** The cluster autoscaler sets it on a node that it is about to remove. */
const DELETION_TAINT = 'ToBeDeletedByClusterAutoscaler';

/** @returns the node's zone, or undefined when it has none. */
export function zoneOf(node: Node | undefined): string | undefined {
  const zone: unknown = node?.metadata?.labels?.[ZONE_LABEL];
  return typeof zone === 'string' && zone !== '' ? zone : undefined;
}

/** @returns why load balancers should send no new traffic to this node, or undefined when they may. */
export function nodeNotEligible(node: Node | undefined): string | undefined {
  if (node?.metadata?.deletionTimestamp) return 'the Node is being deleted';
  const taints: unknown = node?.spec?.taints;
  const isTainted =
    Array.isArray(taints) && taints.some((taint: { key?: unknown } | null) => taint?.key === DELETION_TAINT);
  return isTainted ? `the Node has the taint ${DELETION_TAINT}` : undefined;
}

/** @returns the InternalIPs of the Node object in its order, then the ExternalIPs. */
export function statusAddresses(node: Node | undefined): Address[] {
  const rows: unknown = node?.status?.addresses;
  if (!Array.isArray(rows)) return [];
  return ['InternalIP', 'ExternalIP'].flatMap((type) =>
    rows.flatMap((row: { type?: unknown; address?: unknown } | null) => {
      if (row?.type !== type || typeof row.address !== 'string') return [];
      return parseAddress(row.address) ?? [];
    }),
  );
}

/**
 * The node's primary address of each family, as kube-proxy finds it: the first InternalIP, or
 * ExternalIP when there is none; `bindAddress` overrides its own family unless it is unspecified.
 */
export function primaryAddresses(
  node: Node | undefined,
  { bindAddress }: Pick<Configuration, 'bindAddress'>,
): Partial<Record<Family, Address>> {
  const primary: Partial<Record<Family, Address>> = {};
  for (const address of statusAddresses(node)) primary[familyOf(address)] ??= address;
  if (bindAddress !== '0.0.0.0' && bindAddress !== '::') primary[familyOf(bindAddress)] = bindAddress;
  return primary;
}

type DetectLocal = Pick<Configuration, 'detectLocalMode' | 'clusterCidrs'>;

/** @returns the networks in which detectLocalMode finds pods: rows of the map pod_cidrs. */
export function podCidrs(configuration: DetectLocal, node: Node | undefined): Cidr[] {
  switch (configuration.detectLocalMode) {
    case 'ClusterCIDR':
      return [...configuration.clusterCidrs.IPv4, ...configuration.clusterCidrs.IPv6];
    case 'NodeCIDR':
      return nodePodCidrs(node);
    default:
      return [];
  }
}

/** @returns for each family whether pods of this node can be told from other clients. */
export function detectLocalImplemented(configuration: DetectLocal, node: Node | undefined): Record<Family, boolean> {
  const { detectLocalMode } = configuration;
  if (detectLocalMode === 'BridgeInterface' || detectLocalMode === 'InterfaceNamePrefix')
    return { IPv4: true, IPv6: true };
  const families = podCidrs(configuration, node).map(({ address }) => familyOf(address));
  return { IPv4: families.includes('IPv4'), IPv6: families.includes('IPv6') };
}

/** @returns spec.podCIDRs, or the older spec.podCIDR; what does not parse is left out. */
export function nodePodCidrs(node: Node | undefined): Cidr[] {
  const { podCIDR, podCIDRs }: { podCIDR?: unknown; podCIDRs?: unknown } = node?.spec ?? {};
  const texts: unknown[] = Array.isArray(podCIDRs) && podCIDRs.length > 0 ? podCIDRs : [podCIDR];
  return texts.flatMap((text) => (typeof text === 'string' ? (parseCidr(text) ?? []) : []));
}
