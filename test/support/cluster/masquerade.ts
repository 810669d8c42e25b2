/** Who is source-NATed on the node that translates: R-35… as one plain function. */
export interface ProxySettings {
  /** `none`: ClusterCIDR without a CIDR of the family. */
  readonly detect: 'ClusterCIDR' | 'NodeCIDR' | 'BridgeInterface' | 'InterfaceNamePrefix' | 'none';
  readonly masqueradeAll: boolean;
  readonly socketLb: 'all' | 'host-only';
}

export interface Situation {
  readonly client: 'pod' | 'node' | 'other node' | 'pod of another node' | 'outside';
  readonly frontend: 'ClusterIP' | 'NodePort' | 'ExternalIP' | 'LoadBalancer';
  readonly policy: 'Cluster' | 'Local';
  /** A pod of this node, a pod of another, or a process of this node itself. */
  readonly backend: 'here' | 'elsewhere' | 'node';
  /** The backend is the client. */
  readonly hairpin: boolean;
}

/** What the only backend sees: the client's own address, one of the node's, or no packet at all. */
export type View = 'client' | 'node' | 'nothing';

/** @returns what the rules want, with the two documented differences: the socket path, and backends elsewhere. */
export function expectedView({ client, frontend, policy, backend, hairpin }: Situation, proxy: ProxySettings): View {
  // A CIDR of the whole cluster holds the pods of other nodes as well.
  const isPod = client === 'pod' || (client === 'pod of another node' && proxy.detect === 'ClusterCIDR');
  const isLocal = policy === 'Local' && frontend !== 'ClusterIP';
  // R-30; clients in the cluster have the cluster list.
  if (isLocal && !isPod && client !== 'node' && backend === 'elsewhere') return 'nothing';
  if (client === 'node') return 'node';
  // The socket path: no packet is translated.
  if (client === 'pod' && proxy.socketLb === 'all' && !proxy.masqueradeAll) return 'client';
  // MASQUERADE is for what leaves the node.
  if (backend === 'node') return 'client';
  if (hairpin) return 'node';
  // It came by a node device: the answer must come by this node again.
  if (client !== 'pod' && backend === 'elsewhere') return 'node';
  if (frontend === 'ClusterIP') return proxy.masqueradeAll || (!isPod && proxy.detect !== 'none') ? 'node' : 'client';
  return isLocal ? 'client' : 'node';
}
