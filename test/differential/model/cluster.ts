/** What the model knows: the objects, the settings, this node, and what affinity remembers. */
import type { EndpointSlice, Node, Service } from '../../../src/model/kubernetes.ts';
import { NODE, NODE_SECOND } from '../../support/packet/network.ts';
import type { ProxyConfiguration } from '../case.ts';
import { OWN_ADDRESSES } from '../world.ts';
import { sameFamily } from './network.ts';

export interface Cluster {
  readonly configuration: ProxyConfiguration;
  readonly socketLb: 'all' | 'host-only';
  /** By `namespace/name`. */
  readonly services: Map<string, Service>;
  readonly slices: Map<string, EndpointSlice>;
  node: Node;
  bound: readonly string[];
}

/** The label that leaves a Service to another proxy, and that of slices of headless Services. */
const PROXY_NAME = 'service.kubernetes.io/service-proxy-name';

/** */
export function isServed({ metadata, spec }: Service): boolean {
  if (metadata?.labels?.[PROXY_NAME] !== undefined) return false;
  return spec?.type !== 'ExternalName' && !['', 'None', undefined].includes(spec?.clusterIP);
}

/** Every address of this node. */
export function ownAddresses({ bound }: Cluster): string[] {
  return [...OWN_ADDRESSES.flatMap((address) => [address[4], address[6]]), ...bound];
}

/** The Node object's first InternalIP of the family of `like`. */
export function primaryAddress({ node }: Cluster, like: string): string | undefined {
  const rows = node.status?.addresses ?? [];
  return rows.find(({ type, address }) => type === 'InternalIP' && sameFamily(address ?? '', like))?.address;
}

/** The node's own addresses in R-63: the primary one; without one in the family, those of the node's device. */
export function nodeAddresses(cluster: Cluster, like: string): string[] {
  const primary = primaryAddress(cluster, like);
  if (primary !== undefined) return [primary];
  return [NODE[4], NODE[6], NODE_SECOND[4], NODE_SECOND[6], ...cluster.bound].filter((own) => sameFamily(own, like));
}

/** each mode has a section of its own; without a mode the oldest one counts. */
export function masqueradeAll({ mode, iptables, nftables }: ProxyConfiguration): boolean {
  return (mode === 'nftables' ? nftables?.masqueradeAll : iptables?.masqueradeAll) ?? false;
}
