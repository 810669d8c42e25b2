/** What `sluice agent` was told on its command line. */
import type { FlagTexts } from '../config/flags.ts';
import type { Algorithm } from '../model/algorithm.ts';
import type { Budgets } from '../model/budgets.ts';
import type { ForwardingOptions } from '../model/forwarding.ts';
import type { XdpMode } from '../model/xdp.ts';

/** Where Services, EndpointSlices and the Node come from. */
export type SourceOption =
  | { readonly kind: 'kubeconfig'; readonly file: string }
  | { readonly kind: 'manifests'; readonly directory: string }
  | { readonly kind: 'in-cluster' };

/** `all`: the socket hook serves pods too; `host-only`: pods are served per packet, on their devices. */
export type SocketLb = 'all' | 'host-only';

/** Nodes' addresses are accepted, as with kube-proxy, link-local ones and the API server's own are not. */
export interface ExternalAddressOptions {
  readonly refuseExternalIps: boolean;
  readonly refuseNodeAddresses: boolean;
  readonly allowReserved: boolean;
}

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Paths are absolute, names trimmed. */
export interface AgentOptions {
  /** Never empty, in lower case. See `nodeNameOf` for what the configuration may put in its place. */
  readonly nodeName: string;
  /** False when `nodeName` is the machine's own, because neither --node-name nor --hostname-override was given. */
  readonly nodeNameGiven: boolean;
  readonly source: SourceOption;
  /** A KubeProxyConfiguration. */
  readonly configFile?: string;
  /** Names of the node devices; undefined: chosen by the agent. */
  readonly devices?: readonly string[];
  readonly socketLb: SocketLb;
  /** Pods and Namespaces are read: they may opt out of the socket hook. */
  readonly watchPods: boolean;
  /** Names of the pods' host-side devices, with `*` and `?`, separated by commas; undefined: found by kind. */
  readonly podDevices?: string;
  /** A directory of cgroup v2; undefined: the root of the machine's cgroup2 mount. */
  readonly cgroupRoot?: string;
  readonly bpfRoot: string;
  /** A process of the node cannot bind a NodePort. */
  readonly bindProtection: boolean;
  /** Packets for backends on other nodes go through the stack, where rules of netfilter meet them. */
  readonly respectNetfilter: boolean;
  /** While kube-proxy's rules are in force at the first start nothing is attached, until `sluice migrate` says so. */
  readonly standby: boolean;
  /** Ports of proxies that stand beside a pod's process and are given its connections: two at most. */
  readonly meshPorts: readonly number[];
  /** Serve the Services with this service.kubernetes.io/service-proxy-name; undefined: those without one. */
  readonly serviceProxyName?: string;
  /** How backends are chosen where a Service does not say; undefined: as the configuration says. */
  readonly algorithm?: Algorithm;
  /** How packets from outside reach backends on other nodes. */
  readonly forwarding: ForwardingOptions;
  /** Which external IPs and load-balancer addresses Services may have. */
  readonly externalAddresses: ExternalAddressOptions;
  /** How much of the node's tables Services may use. */
  readonly budgets: Budgets;
  /** Whether node devices carry packets in XDP. */
  readonly xdp: XdpMode;
  /** undefined: by the verbosity of the configuration. */
  readonly logLevel?: LogLevel;
  /** A key of the configuration that is not known, or written twice, ends the agent. */
  readonly strictConfig: boolean;
  /** What was given of kube-proxy's own flags. */
  readonly kubeProxyFlags: FlagTexts;
  /** The API server's URL in place of the kubeconfig's. */
  readonly master?: string;
  /** URLs of API servers that need no Service, tried in turn, in place of the kubeconfig's. Never empty. */
  readonly apiServers?: readonly string[];
  /** Directory in which the last good state is kept; undefined: it is not. */
  readonly stateDir?: string;
}

/** @param verbosity as klog counts it. @returns the level whose lines kube-proxy would write at it. */
export function logLevelOf(verbosity: number): LogLevel {
  if (verbosity >= 6) return 'trace';
  return verbosity >= 4 ? 'debug' : 'info';
}

/** Where the proxies of Istio, Consul, Kuma and Linkerd listen. */
export const MESH_PORTS = '15001,4140';

/** Node names are compared in lower case, as kube-proxy does. */
export function canonicalNodeName(name: string): string {
  return name.trim().toLowerCase();
}

/**
 * @param hostnameOverride of the configuration; "" when it has none. It counts when --node-name was not given.
 * @returns the name of the Node object that is this node.
 */
export function nodeNameOf(
  options: Pick<AgentOptions, 'nodeName' | 'nodeNameGiven'>,
  hostnameOverride: string,
): string {
  const override = canonicalNodeName(hostnameOverride);
  return options.nodeNameGiven || override === '' ? options.nodeName : override;
}
