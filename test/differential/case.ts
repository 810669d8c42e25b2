/** A case: what happens to a cluster, in order, and what clients then try. Plain data, so that it can be kept as YAML. */
import type { EndpointSlice, Node, Service } from '../../src/model/kubernetes.ts';

export type Protocol = 'TCP' | 'UDP' | 'SCTP';

/** Who dials. */
export type ClientKind =
  /** A pod of this node. */
  | 'pod'
  /** On the pods' device, with an address of no known network. */
  | 'stray-pod'
  /** A pod of another node: its packets come by the node's device. */
  | 'remote-pod'
  | 'other-node'
  | 'outside'
  /** A process of this node. */
  | 'node';

export interface Probe {
  readonly client: ClientKind;
  readonly source: string;
  /** True: a process under the socket hook. False: packets past it. */
  readonly process: boolean;
  readonly destination: string;
  readonly port: number;
  readonly protocol: Protocol;
  /** Repeated until each backend that may be chosen was. */
  readonly thorough?: boolean;
  /** The answer is followed back to the client too. */
  readonly answer?: boolean;
}

export type Action =
  | { readonly service: Service }
  | { readonly slice: EndpointSlice }
  | {
      readonly delete: {
        readonly kind: 'Service' | 'EndpointSlice';
        readonly namespace: string;
        readonly name: string;
      };
    }
  | { readonly node: Node }
  /** Addresses bound to the node's device besides its own. */
  | { readonly bound: readonly string[] }
  /** What changed so far is written; a probe does so too. */
  | { readonly sync: true }
  /** The agent is killed and started again. */
  | { readonly restart: true }
  /** Time goes by for affinity. */
  | { readonly seconds: number }
  | { readonly probe: Probe };

/** The parts of KubeProxyConfiguration that say who is served how. */
export interface ProxyConfiguration {
  readonly mode?: 'iptables' | 'ipvs' | 'nftables';
  readonly iptables?: { readonly masqueradeAll?: boolean; readonly localhostNodePorts?: boolean };
  readonly nftables?: { readonly masqueradeAll?: boolean };
  readonly detectLocalMode?: 'ClusterCIDR' | 'NodeCIDR' | 'BridgeInterface' | 'InterfaceNamePrefix';
  readonly detectLocal?: { readonly bridgeInterface?: string; readonly interfaceNamePrefix?: string };
  readonly clusterCIDR?: string;
  readonly nodePortAddresses?: readonly string[];
}

export interface Case {
  readonly configuration: ProxyConfiguration;
  /** `--socket-lb` */
  readonly socketLb: 'all' | 'host-only';
  readonly actions: readonly Action[];
}
