/** What clients may dial: the frontends of the Services that are served, and who holds a contested one. */
import type { Service } from '../../../src/model/kubernetes.ts';
import type { Protocol } from '../case.ts';
import { type Cluster, isServed, ownAddresses, primaryAddress } from './cluster.ts';
import type { Wanted } from './endpoints.ts';
import { holds, sameFamily } from './network.ts';

export type FrontendKind = 'ClusterIP' | 'ExternalIP' | 'LoadBalancer' | 'NodePort';

export interface Frontend extends Wanted {
  readonly kind: FrontendKind;
  readonly spec: NonNullable<Service['spec']>;
}

interface Claim extends Frontend {
  /** undefined for a NodePort: any address that answers them. */
  readonly address: string | undefined;
  readonly port: number;
  /** Milliseconds since the epoch. */
  readonly created: number;
}

/** A Service counts in the families in which it has a cluster IP. */
function familiesOf({ spec }: Service): ('IPv4' | 'IPv6')[] {
  const addresses = spec?.clusterIPs ?? [spec?.clusterIP ?? ''];
  return addresses.map((address) => (address.includes(':') ? 'IPv6' : 'IPv4'));
}

function claimsOf(service: Service): Claim[] {
  const { metadata, spec = {}, status } = service;
  //
  const balancers = (status?.loadBalancer?.ingress ?? []).filter(({ ipMode }) => (ipMode ?? 'VIP') === 'VIP');
  const addresses: [FrontendKind, string][] = [
    ...(spec.clusterIPs ?? [spec.clusterIP ?? '']).map((ip): [FrontendKind, string] => ['ClusterIP', ip]),
    ...(spec.externalIPs ?? []).map((ip): [FrontendKind, string] => ['ExternalIP', ip]),
    ...balancers.flatMap(({ ip }): [FrontendKind, string][] => (ip ? [['LoadBalancer', ip]] : [])),
  ];
  const created = metadata?.creationTimestamp ? Date.parse(metadata.creationTimestamp) : Number.MAX_SAFE_INTEGER;
  return familiesOf(service).flatMap((family) =>
    (spec.ports ?? []).flatMap(({ name = '', protocol = 'TCP', port = 0, nodePort }) => {
      const shared = { namespace: metadata?.namespace ?? '', service: metadata?.name ?? '', portName: name };
      const all = { ...shared, protocol: protocol as Protocol, family, spec, created };
      const named = addresses
        .filter(([, address]) => address.includes(':') === (family === 'IPv6'))
        .map(([kind, address]): Claim => ({ ...all, kind, address, port }));
      return nodePort ? [...named, { ...all, kind: 'NodePort' as const, address: undefined, port: nodePort }] : named;
    }),
  );
}

/** whether NodePorts answer on an address. Loopback ones are another matter. */
function answersNodePorts(cluster: Cluster, address: string): boolean {
  const { mode, nodePortAddresses = [] } = cluster.configuration;
  if (!ownAddresses(cluster).includes(address)) return false;
  const byMode = mode === 'nftables' ? ['primary'] : [];
  const wanted = nodePortAddresses.length > 0 ? nodePortAddresses : byMode;
  if (wanted.includes('primary')) {
    // A Node without an address of the family restricts nothing in it.
    const primary = primaryAddress(cluster, address);
    return primary === undefined || primary === address;
  }
  const networks = wanted.filter((network) => sameFamily(network, address));
  return networks.length === 0 || networks.some((network) => network.endsWith('/0') || holds(network, address));
}

/** @param loopback the caller is a process of the node at its socket: 127.0.0.0/8 answers NodePorts */
export function findFrontend(
  cluster: Cluster,
  { address, port, protocol, loopback }: { address: string; port: number; protocol: Protocol; loopback: boolean },
): Frontend | 'no such port' | undefined {
  const family = address.includes(':') ? 'IPv6' : 'IPv4';
  const served = [...cluster.services.values()].filter(isServed).flatMap(claimsOf);
  const here = served.filter((claim) => claim.family === family && claim.protocol === protocol && claim.port === port);
  // the oldest holds what several claim.
  const oldest = (claims: Claim[]) =>
    claims.sort(
      (a, b) => a.created - b.created || (`${a.namespace}/${a.service}` < `${b.namespace}/${b.service}` ? -1 : 1),
    )[0];
  const exact = oldest(here.filter((claim) => claim.address === address));
  if (exact !== undefined) return exact;
  const localhost = loopback && family === 'IPv4' && address.startsWith('127.');
  const localhostServed = localhost && (cluster.configuration.iptables?.localhostNodePorts ?? true);
  const nodePort = oldest(here.filter((claim) => claim.kind === 'NodePort'));
  if (nodePort !== undefined && (localhostServed || answersNodePorts(cluster, address))) return nodePort;
  // R-32. A limit: one that lost every port to older Services' external addresses is in use no more.
  const claimants = served.filter((claim) => claim.address === address);
  const inUse = claimants.some((claim) => {
    const rivals = claimants.filter((other) => other.port === claim.port && other.protocol === claim.protocol);
    return claim.kind === 'ClusterIP' && oldest(rivals) === claim;
  });
  return inUse ? 'no such port' : undefined;
}

/** undefined when open. Deliberate difference: a family whose every range is malformed is closed. */
export function sourceRanges({ kind, spec, family }: Frontend): readonly string[] | undefined {
  if (kind !== 'LoadBalancer') return undefined;
  const texts = (spec.loadBalancerSourceRanges ?? []).map((text) => text.trim());
  const looksLike = (text: string) => (text.includes(':') ? 'IPv6' : text.includes('.') ? 'IPv4' : family);
  const own = texts.filter((text) => looksLike(text) === family);
  return own.length === 0 ? undefined : own;
}
