/**
 * Which external addresses a Service may take (CVE-2020-8554): whoever may write a Service could name any address
 * there, and would be given what the node and its pods send to it.
 */
import {
  FRONTEND_CLUSTER_IP,
  FRONTEND_EXTERNAL_IP,
  FRONTEND_LOAD_BALANCER,
  FRONTEND_NODE_PORT,
} from '../../maps-schema/gen/codecs.ts';
import { type Address, isLinkLocal } from '../model/address.ts';
import type { Protocol } from '../model/compiled.ts';
import type { Candidate } from './service-ports.ts';
import type { ParsedSlice } from './slice.ts';

/** The Service whose endpoints are the API servers themselves. */
export const API_SERVICE = 'default/kubernetes';

/** What the administrator says of external IPs and load-balancer addresses. All absent: only those of API servers and link-local ones are refused. */
export interface AddressRules {
  /** Where the agent reaches the API server: canonical address and port. */
  readonly apiServers?: readonly { readonly address: Address; readonly port: number }[];
  /** `--allow-reserved-addresses`: link-local addresses and the API server's own are served like others. */
  readonly allowReserved?: boolean;
  /** `--refuse-external-ips`: spec.externalIPs is not served. */
  readonly refuseExternalIps?: boolean;
  /** `--refuse-node-addresses`: addresses of nodes; absent: they are served, as with kube-proxy. */
  readonly nodeAddresses?: readonly Address[];
}

/** @returns why a Service may not have a frontend, with what to do; undefined when it may. */
export type Refusal = (candidate: Candidate, protocol: Protocol) => string | undefined;

/** @param apiSlices of API_SERVICE */
export function createRefusal(rules: AddressRules, apiSlices: readonly ParsedSlice[]): Refusal {
  const apiServers = new Set((rules.apiServers ?? []).map(({ address, port }) => `${address} ${port}`));
  for (const { endpoints, ports } of apiSlices)
    for (const { address } of endpoints)
      for (const { port, protocol } of ports) if (protocol === 'TCP') apiServers.add(`${address} ${port}`);
  const nodes = new Set(rules.nodeAddresses);

  return ({ address, port, kinds }, protocol) => {
    if ((kinds & (FRONTEND_CLUSTER_IP | FRONTEND_NODE_PORT)) !== 0) return undefined;
    if (rules.refuseExternalIps === true && isExternalOnly(kinds))
      return 'external IPs are not served here: --refuse-external-ips';
    if (nodes.has(address)) return `${address} is an address of a node: not served with --refuse-node-addresses`;
    if (rules.allowReserved === true) return undefined;
    if (isLinkLocal(address)) return `${address} is a link-local address: not served without ${ALLOW}`;
    if (protocol === 'TCP' && apiServers.has(`${address} ${port}`))
      return `${address} port ${port} is the API server's own: not served without ${ALLOW}`;
    return undefined;
  };
}

const ALLOW = '--allow-reserved-addresses';

const isExternalOnly = (kinds: number) =>
  (kinds & (FRONTEND_EXTERNAL_IP | FRONTEND_LOAD_BALANCER)) === FRONTEND_EXTERNAL_IP;

/** What matters of the slices for the rules, to see whether it changed. */
export function apiServersText(slices: readonly ParsedSlice[]): string {
  return JSON.stringify(slices.map(({ endpoints, ports }) => [endpoints.map(({ address }) => address), ports]));
}
