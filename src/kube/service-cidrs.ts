/** What ServiceCIDR objects say, together. */
import type { ServiceCIDR } from '../model/kubernetes.ts';

/** @returns each network once, as written, sorted. */
export function networksOf(objects: Iterable<ServiceCIDR>): string[] {
  const networks = new Set<string>();
  for (const { spec } of objects) {
    const cidrs: unknown = spec?.cidrs;
    if (!Array.isArray(cidrs)) continue;
    for (const cidr of cidrs) if (typeof cidr === 'string') networks.add(cidr);
  }
  return [...networks].sort();
}
