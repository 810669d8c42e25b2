import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EndpointSlice } from '../../../src/model/kubernetes.ts';
import { readManifests } from '../../support/apiserver/manifests.ts';
import { type Cluster, startCluster } from '../../support/lab/cluster.ts';
import { listLeftovers } from '../../support/lab/leftovers.ts';
import { poll } from '../../support/lab/poll.ts';

const examples = fileURLToPath(new URL('../../../examples', import.meta.url));

/** `address ready/serving/terminating` of each endpoint of a Service over IPv4. */
async function endpoints(cluster: Cluster, service: string): Promise<string[]> {
  const slices = await cluster.slices();
  const own = (slice: EndpointSlice) => slice.metadata?.labels?.['kubernetes.io/service-name'] === service;
  return slices
    .filter((slice) => own(slice) && slice.addressType === 'IPv4')
    .flatMap((slice) => slice.endpoints ?? [])
    .map(
      ({ addresses, conditions }) =>
        `${addresses?.[0]} ${conditions?.ready}/${conditions?.serving}/${conditions?.terminating}`,
    )
    .sort();
}

describe('a cluster without agents', () => {
  let cluster: Cluster;

  beforeAll(async () => {
    cluster = await startCluster({ nodes: 2 });
    const manifests = await readManifests(examples);
    const named = (...names: string[]) => manifests.filter(({ metadata }) => names.includes(metadata.name));
    await cluster.apply(named('shop', 'catalog', 'catalog-v2'));
    await cluster.apply(named('storefront').filter(({ kind }) => kind === 'Service'));
  });

  afterAll(async () => {
    await cluster?.destroy();
    expect(listLeftovers(cluster.lab.id)).toEqual([]);
  });

  it('gives the Services of running pods their slices, one a port number', async () => {
    const slices = (await cluster.slices()).filter(({ addressType }) => addressType === 'IPv4');
    expect(slices.map(({ ports, endpoints }) => [ports?.[0]?.port, endpoints?.length])).toEqual([
      [8080, 2],
      [9080, 1],
    ]);
    expect((await cluster.service('shop', 'catalog')).spec?.clusterIPs).toHaveLength(2);
  });

  it('gives a LoadBalancer an address of each family', async () => {
    const service = await cluster.service('shop', 'storefront');
    expect(service.status?.loadBalancer?.ingress?.map(({ ip }) => ip)).toEqual(['203.0.113.10', 'fd13::10']);
  });

  it('lets agents read, and not write, from a node', async () => {
    const token = cluster.api.server.token('system:kube-proxy');
    const ask = (method: string, path: string) =>
      cluster.lab
        .node(1)
        .run(['curl', '-sk', '-X', method, '-H', `Authorization: Bearer ${token}`, `https://172.30.0.254:6443${path}`]);
    expect(await ask('GET', '/api/v1/services')).toContain('"name":"catalog"');
    expect(await ask('DELETE', '/api/v1/namespaces/shop/services/catalog')).toContain('Forbidden');
    expect(readFileSync(cluster.api.kubeconfig, 'utf8')).toContain('https://172.30.0.254:6443');
  });

  it('drains a pod that is scaled away: terminating while a connection is open, then gone', async () => {
    const [oldest, youngest] = cluster.pods.of('catalog');
    const [stays, goes] = [oldest?.addresses.IPv4 ?? '', youngest?.addresses.IPv4 ?? ''];
    const slow = cluster.lab.node(1).actor.http(goes, 8080, { path: '/slow?ms=1500', timeoutMs: 5000 });
    await poll('see the request', async () => ((await youngest?.pod.actor.openConnections()) ?? 0) > 0);
    const scaled = cluster.scale('catalog', 1);
    await poll('see it terminating', async () =>
      (await endpoints(cluster, 'catalog')).includes(`${goes} false/true/true`),
    );
    expect(await slow).toMatchObject({ ok: true, who: youngest?.name });
    await scaled;
    const left = await endpoints(cluster, 'catalog');
    expect(left).toContain(`${stays} true/true/false`);
    expect(left.some((endpoint) => endpoint.startsWith(goes))).toBe(false);
  });
});
