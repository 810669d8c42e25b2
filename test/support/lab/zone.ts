/** What the DNS of a cluster answers for its Services. */
import type { Service } from '../../../src/model/kubernetes.ts';
import { eachFamily } from './addressing.ts';
import type { PodView, SelectingService } from './slices.ts';

/** `<service>.<namespace>.svc.cluster.local` → cluster addresses, or for a headless Service those of its pods. */
export function dnsZone(services: readonly SelectingService[], pods: readonly PodView[]): Record<string, string[]> {
  return Object.fromEntries(services.map((service) => [dnsName(service), addressesOf(service, pods)]));
}

/** `catalog.shop.svc.cluster.local` */
export function dnsName({ metadata }: Service): string {
  return `${metadata?.name}.${metadata?.namespace}.svc.cluster.local`;
}

function addressesOf({ metadata, spec }: SelectingService, pods: readonly PodView[]): string[] {
  if (spec?.clusterIP !== 'None') return spec?.clusterIPs ?? [];
  const selector = Object.entries(spec.selector ?? {});
  const families = spec.ipFamilies ?? ['IPv4'];
  return pods
    .filter((pod) => pod.namespace === metadata?.namespace && pod.phase === 'running')
    .filter((pod) => selector.every(([label, value]) => pod.labels[label] === value))
    .flatMap((pod) =>
      eachFamily(pod.addresses).flatMap(([family, address]) => (families.includes(family) ? [address] : [])),
    );
}
