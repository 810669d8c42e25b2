/** Ports of Services as kube-proxy's rules have them: what both forms of its rules are written from. */
import { createHash } from 'node:crypto';
import { base32 } from '../../../bench/rules/base32.ts';
import type { IpFamily } from '../lab/addressing.ts';

/** One port of a Service in one family. */
export interface ProxiedPort {
  readonly namespace: string;
  readonly service: string;
  readonly port: string;
  readonly protocol: 'TCP' | 'UDP';
  readonly clusterIp: string;
  readonly number: number;
  readonly nodePort?: number;
  readonly externalIps?: readonly string[];
  readonly balancerIps?: readonly string[];
  readonly targetPort: number;
  /** Addresses of ready endpoints. */
  readonly endpoints: readonly string[];
  /** Those of them on this node. */
  readonly local?: readonly string[];
  /** externalTrafficPolicy: Local */
  readonly externalLocal?: boolean;
  readonly affinitySeconds?: number;
  /** loadBalancerSourceRanges */
  readonly sourceRanges?: readonly string[];
}

export interface ProxyNode {
  readonly family: IpFamily;
  /** clusterCIDR */
  readonly podNetwork: string;
  /** Addresses that answer NodePorts; undefined: all of the node. */
  readonly nodePortAddresses?: readonly string[];
}

export const MARK = '0x4000';

/** 16 characters that stand for a text, as in KUBE-SVC-…. */
export function hashOf(text: string, length = 16): string {
  return base32(createHash('sha256').update(text).digest()).slice(0, length);
}

export function fullName({ namespace, service, port }: ProxiedPort): string {
  return `${namespace}/${service}${port === '' ? '' : `:${port}`}`;
}
