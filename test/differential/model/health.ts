/** What a health check node port says. */

import type { Protocol } from '../case.ts';
import { type Cluster, isServed } from './cluster.ts';
import { type Target, targetsOf } from './endpoints.ts';

export interface Health {
  readonly port: number;
  /** Distinct addresses of ready endpoints on this node. */
  readonly endpoints: Readonly<Partial<Record<'IPv4' | 'IPv6', number>>>;
}

export function healthOf(cluster: Cluster, key: string): Health | undefined {
  const service = cluster.services.get(key);
  const { spec, metadata } = service ?? {};
  if (service === undefined || !isServed(service) || spec?.type !== 'LoadBalancer') return undefined;
  if (spec.externalTrafficPolicy !== 'Local' || !spec.healthCheckNodePort) return undefined;
  const families = (spec.clusterIPs ?? []).map((ip) => (ip.includes(':') ? 'IPv6' : 'IPv4') as 'IPv4' | 'IPv6');
  const count = (family: 'IPv4' | 'IPv6') => {
    const targets = (spec.ports ?? []).flatMap(({ name = '', protocol = 'TCP' }): Target[] =>
      targetsOf(cluster, {
        namespace: metadata?.namespace ?? '',
        service: metadata?.name ?? '',
        portName: name,
        protocol: protocol as Protocol,
        family,
      }),
    );
    return new Set(targets.filter((one) => one.local && one.ready).map(({ address }) => address)).size;
  };
  const counts = families.sort().map((family) => [family, count(family)] as const);
  return { port: spec.healthCheckNodePort, endpoints: Object.fromEntries(counts) };
}
