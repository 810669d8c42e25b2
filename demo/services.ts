/** Addresses of the shop's Services, as the API server has them. */
import type { IpFamily } from '../test/support/lab/addressing.ts';
import type { Cluster } from '../test/support/lab/cluster.ts';

const familyOf = (address: string): IpFamily => (address.includes(':') ? 'IPv6' : 'IPv4');

function pick(addresses: readonly string[], family: IpFamily, what: string): string {
  const address = addresses.find((candidate) => familyOf(candidate) === family);
  if (address === undefined)
    throw new Error(`find ${what} over ${family}: it has ${addresses.join(', ') || 'no address'}`);
  return address;
}

/** The cluster address of a Service of the shop. */
export async function addressOf(cluster: Cluster, name: string, family: IpFamily = 'IPv4'): Promise<string> {
  const service = await cluster.service('shop', name);
  return pick(service.spec?.clusterIPs ?? [], family, name);
}

/** Its load-balancer address. */
export async function balancerOf(cluster: Cluster, name: string, family: IpFamily = 'IPv4'): Promise<string> {
  const service = await cluster.service('shop', name);
  const ingress = service.status?.loadBalancer?.ingress ?? [];
  return pick(
    ingress.flatMap(({ ip }) => (ip === undefined ? [] : [ip])),
    family,
    `the load balancer of ${name}`,
  );
}
