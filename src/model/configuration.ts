/** The agent's settings with every default in force. src/config makes it of a KubeProxyConfiguration. */

import type { Address } from './address.ts';
import type { Algorithm } from './algorithm.ts';
import type { Cidr } from './compiled.ts';

export type ProxyMode = 'iptables' | 'ipvs' | 'nftables';

export type DetectLocalMode = 'ClusterCIDR' | 'NodeCIDR' | 'BridgeInterface' | 'InterfaceNamePrefix';

/** An address and port to listen on. */
export interface ListenAddress {
  readonly address: Address;
  readonly port: number;
}

/**
 * Which of the node's addresses answer NodePorts. `primary`: the Node object's own. Else by
 * network; a family for which none was given holds its zero CIDR, that is every address.
 */
export type NodePortAddresses =
  | { readonly primary: true }
  | { readonly primary: false; readonly IPv4: readonly Cidr[]; readonly IPv6: readonly Cidr[] };

/** Idle times after which a flow is gone, in seconds. */
export interface FlowTimeouts {
  readonly tcpEstablished: number;
  readonly tcpCloseWait: number;
  readonly tcpHalfOpen: number;
  readonly udp: number;
  readonly udpStream: number;
}

export interface Configuration {
  /** `iptables` when the file chooses none. */
  readonly mode: ProxyMode;
  /** What ipvs.scheduler asks for with mode ipvs; else random. */
  readonly algorithm: Algorithm;
  /** Our feature gate LoadBalancerIPModeRouter: ipMode Router is served. */
  readonly routerIpMode: boolean;
  /** "" when the file names none. */
  readonly clientKubeconfig: string;
  /** "" when the file names none. */
  readonly hostnameOverride: string;
  /** Overrides the node's primary address unless it is 0.0.0.0 or ::. */
  readonly bindAddress: Address;
  readonly healthz: ListenAddress;
  readonly metrics: ListenAddress;
  /** An address that is taken ends the agent instead of being tried again. */
  readonly bindAddressHardFail: boolean;
  readonly masqueradeAll: boolean;
  /** 127.0.0.0/8 answers NodePorts. */
  readonly localhostNodePorts: boolean;
  /** Milliseconds: a full sync at least so often. */
  readonly syncPeriod: number;
  /** Milliseconds between two syncs at least; 0: none, the default. */
  readonly minSyncPeriod: number;
  readonly detectLocalMode: DetectLocalMode;
  readonly bridgeInterface: string;
  readonly interfaceNamePrefix: string;
  readonly clusterCidrs: { readonly IPv4: readonly Cidr[]; readonly IPv6: readonly Cidr[] };
  readonly nodePortAddresses: NodePortAddresses;
  readonly timeouts: FlowTimeouts;
  /** As klog counts it: 0 says least. */
  readonly verbosity: number;
  /** undefined: the process keeps its own. */
  readonly oomScoreAdj: number | undefined;
  /** The whole KubeProxyConfiguration with kube-proxy's defaults, for /configz and --write-config-to. */
  readonly effective: Readonly<Record<string, unknown>>;
}

/** What became of one key of the file. */
export interface ConfigurationNote {
  /** e.g. `iptables.masqueradeBit` */
  readonly key: string;
  readonly disposition: 'honoured' | 'not needed' | 'refused';
  readonly why: string;
  /** False when the file writes the key with an empty value ("", null, 0s), which means the default. */
  readonly set: boolean;
}
