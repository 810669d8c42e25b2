/** What the health check server of a Service answers on this node (R-75…R-77). */
import type { Address, Family } from '../model/address.ts';
import type { ServiceHealth } from '../model/compiled.ts';
import type { PortEndpoint } from './endpoints.ts';

/** Counts distinct addresses of ready endpoints on this node, over all ports; terminating ones keep R-20's traffic only. */
export interface LocalCount {
  add(family: Family, endpoints: readonly PortEndpoint[]): void;
  result(): ServiceHealth;
}

/** @param port spec.healthCheckNodePort */
export function createLocalCount(port: number): LocalCount {
  const addresses = new Map<Family, Set<Address>>();
  /** Ports that lead to the same endpoints bring the same list. */
  let last: readonly PortEndpoint[] | undefined;
  return {
    add(family, endpoints) {
      const found = addresses.get(family) ?? new Set();
      addresses.set(family, found);
      if (endpoints === last) return;
      last = endpoints;
      for (const { endpoint, backend } of endpoints) if (backend.local && endpoint.ready) found.add(endpoint.address);
    },
    result() {
      const byFamily = Object.fromEntries([...addresses].map(([family, found]) => [family, found.size]));
      return { port, localEndpoints: Math.max(0, ...Object.values(byFamily)), localEndpointsByFamily: byFamily };
    },
  };
}
