/** Who a client is in the eyes of the rules: a pod, the node, or outside (R-35…R-42). */
import type { Probe } from '../case.ts';
import { type Cluster, ownAddresses } from './cluster.ts';
import { holds, sameFamily } from './network.ts';

/** The device by which its packets come; none for the node's own. */
export function deviceOf({ client }: Probe): 'pod0' | 'node0' | undefined {
  if (client === 'node') return undefined;
  return client === 'pod' || client === 'stray-pod' ? 'pod0' : 'node0';
}

/** The networks of pods that the configuration knows in the source's family. */
function podNetworks({ configuration, node }: Cluster, source: string): string[] {
  const { detectLocalMode = 'ClusterCIDR', clusterCIDR = '' } = configuration;
  const all = detectLocalMode === 'NodeCIDR' ? (node.spec?.podCIDRs ?? []) : clusterCIDR.split(',');
  return all.map((text) => text.trim()).filter((text) => text !== '' && sameFamily(text, source));
}

/** whether pods can be told from others in this family. */
export function canDetectPods(cluster: Cluster, source: string): boolean {
  const { detectLocalMode } = cluster.configuration;
  if (detectLocalMode === 'BridgeInterface' || detectLocalMode === 'InterfaceNamePrefix') return true;
  return podNetworks(cluster, source).length > 0;
}

/** Where no network is known, a pod is known by the device that its packets come by. */
export function isPod(cluster: Cluster, probe: Probe): boolean {
  const { detectLocalMode, detectLocal } = cluster.configuration;
  const device = deviceOf(probe);
  if (detectLocalMode === 'BridgeInterface') return device === detectLocal?.bridgeInterface;
  if (detectLocalMode === 'InterfaceNamePrefix')
    return device?.startsWith(detectLocal?.interfaceNamePrefix ?? '') ?? false;
  if (!canDetectPods(cluster, probe.source)) return device === 'pod0';
  return podNetworks(cluster, probe.source).some((network) => holds(network, probe.source));
}

/** The node itself, or a packet with an address of this node as its source. */
export function isNode(cluster: Cluster, { client, source }: Probe): boolean {
  return client === 'node' || ownAddresses(cluster).includes(source);
}
