/** What `sluice agent` was told on its command line. */

import type { ForwardingOptions } from '../model/forwarding.ts';
import type { XdpMode } from '../model/xdp.ts';

/** Where Services, EndpointSlices and the Node come from. */
export type SourceOption =
  | { readonly kind: 'kubeconfig'; readonly file: string }
  | { readonly kind: 'manifests'; readonly directory: string }
  | { readonly kind: 'in-cluster' };

/** `all`: the socket hook serves pods too; `host-only`: pods are served per packet, on their devices. */
export type SocketLb = 'all' | 'host-only';

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Paths are absolute, names trimmed. */
export interface AgentOptions {
  /** Never empty, in lower case. See `nodeNameOf` for what the configuration may put in its place. */
  readonly nodeName: string;
  /** False when `nodeName` is the machine's own, because --node-name was not given. */
  readonly nodeNameGiven: boolean;
  readonly source: SourceOption;
  /** A KubeProxyConfiguration. */
  readonly configFile?: string;
  /** Names of the node devices; undefined: chosen by the agent. */
  readonly devices?: readonly string[];
  readonly socketLb: SocketLb;
  /** Names of the pods' host-side devices, with `*` and `?`, separated by commas; undefined: found by kind. */
  readonly podDevices?: string;
  /** A directory of cgroup v2; undefined: the root of the machine's cgroup2 mount. */
  readonly cgroupRoot?: string;
  readonly bpfRoot: string;
  /** A process of the node cannot bind a NodePort. */
  readonly bindProtection: boolean;
  /** Serve the Services with this service.kubernetes.io/service-proxy-name; undefined: those without one. */
  readonly serviceProxyName?: string;
  /** How packets from outside reach backends on other nodes. */
  readonly forwarding: ForwardingOptions;
  /** Whether node devices carry packets in XDP. */
  readonly xdp: XdpMode;
  readonly logLevel: LogLevel;
}

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
