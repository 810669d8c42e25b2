/** What the compiler must know of the node and of the settings. */
import type { Address, Family } from '../model/address.ts';
import type { Algorithm } from '../model/algorithm.ts';
import type { ForwardingMode, PrimaryAddresses } from '../model/forwarding.ts';
import type { AddressRules } from './address-rules.ts';

const ZONE_LABEL = 'topology.kubernetes.io/zone';

export interface NodeContext {
  /** Name of this node's Node object; "" makes every endpoint remote. */
  readonly nodeName: string;
  /** Zone of this node; taken from nodeLabels when absent. */
  readonly zone?: string;
  readonly nodeLabels?: Readonly<Record<string, string>>;
  /** What this node sends from, canonical: loadBalancerSourceRanges are compared with it. */
  readonly nodeAddresses?: readonly Address[];
  /** Translate the source of all traffic to cluster IPs. */
  readonly masqueradeAll?: boolean;
  /** Whether detectLocalMode can tell this node's pods from others, by family. */
  readonly detectLocal: Readonly<Record<Family, boolean>>;
  /** Forwarding mode of Services that choose none; snat when absent. */
  readonly forwardingMode?: ForwardingMode;
  /** Algorithm of Services that choose none; random when absent. */
  readonly algorithm?: Algorithm;
  /** Services may choose direct return: the administrator lets this node know the other nodes. */
  readonly mayChooseDirect?: boolean;
  /** This node's address among its peers, by family; without one there is no direct return. */
  readonly ownAddresses?: PrimaryAddresses;
  /** Addresses of the other nodes, by the name in lower case. Another map each time that one changes. */
  readonly peers?: ReadonlyMap<string, PrimaryAddresses>;
  /** Which external addresses Services may have. */
  readonly addressRules?: AddressRules;
  /** The value of service.kubernetes.io/service-proxy-name that is ours. */
  readonly serviceProxyName?: string;
  /** Serve load-balancer addresses of ipMode Router. Fixed for a run: Services are read with it. */
  readonly routerIpMode?: boolean;
  /** Families to compile; others are left out as if the objects did not have them. */
  readonly families: readonly Family[];
}

/** @returns the zone of the node, or undefined when it has none: no zone filtering then. */
export function zoneOf(context: NodeContext): string | undefined {
  return (context.zone ?? context.nodeLabels?.[ZONE_LABEL]) || undefined;
}

/** What a difference between two contexts makes stale. */
export interface ContextChange {
  /** Which Services are served and in which families: claims on addresses too. */
  readonly scope: boolean;
  /** Rows of every Service. */
  readonly rows: boolean;
  /** Rows of Services with loadBalancerSourceRanges. */
  readonly sourceRanges: boolean;
  /** Rows of Services with direct return. */
  readonly peers: boolean;
}

export function compareContexts(before: NodeContext, after: NodeContext): ContextChange {
  const same = (pick: (context: NodeContext) => unknown) =>
    JSON.stringify(pick(before) ?? null) === JSON.stringify(pick(after) ?? null);
  const scope = !same((c) => [c.serviceProxyName, [...c.families].sort(), c.addressRules]);
  const rows =
    !same((c) => [c.nodeName, zoneOf(c), c.masqueradeAll === true, c.detectLocal.IPv4, c.detectLocal.IPv6]) ||
    !same((c) => [
      c.forwardingMode,
      c.algorithm,
      c.mayChooseDirect === true,
      c.ownAddresses?.IPv4,
      c.ownAddresses?.IPv6,
      c.peers !== undefined,
    ]);
  return {
    scope,
    rows: rows || scope,
    sourceRanges: !same((c) => [...(c.nodeAddresses ?? [])].sort()),
    peers: before.peers !== after.peers,
  };
}
