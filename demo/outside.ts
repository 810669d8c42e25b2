/** Requests from a client outside the cluster, behind a router. */
import { type IpFamily, LOAD_BALANCER_CIDRS } from '../test/support/lab/addressing.ts';
import type { Cluster } from '../test/support/lab/cluster.ts';
import type { Checks } from './checks.ts';
import { balancerOf } from './services.ts';
import { dim, say, scene, spread } from './terminal.ts';

const FAMILIES: readonly IpFamily[] = ['IPv4', 'IPv6'];
const EXTERNAL: Record<IpFamily, string> = { IPv4: '198.51.100.20', IPv6: 'fd51::20' };

/** What the network around a cluster does: leads load-balancer and external addresses to the nodes. */
export async function routeToNodes(cluster: Cluster): Promise<void> {
  const nodes = cluster.lab.nodes.map(({ name }) => name);
  for (const family of FAMILIES) {
    await cluster.lab.route(LOAD_BALANCER_CIDRS[family], nodes);
    await cluster.lab.route(family === 'IPv4' ? '198.51.100.0/24' : 'fd51::/64', 'node1');
  }
}

async function nodePorts(cluster: Cluster, checks: Checks): Promise<void> {
  const { actor } = cluster.lab.client();
  for (const family of FAMILIES) {
    for (const node of cluster.lab.nodes.slice(0, 2)) {
      const address = family === 'IPv4' ? node.ipv4 : node.ipv6;
      checks.answered(`payments, NodePort 30080 of ${node.name} over ${family}`, await actor.http(address, 30080));
    }
    const address = family === 'IPv4' ? cluster.lab.node(3).ipv4 : cluster.lab.node(3).ipv6;
    checks.answered(`telemetry, UDP, NodePort 30125 of node3 over ${family}`, await actor.udp(address, 30125));
  }
}

/** Routes the address to the node that has the backend, as a cloud does that asks healthCheckNodePort. */
async function localPolicy(cluster: Cluster, checks: Checks): Promise<void> {
  const client = cluster.lab.client();
  const { nodeName } = cluster.podOf('images');
  const other = cluster.lab.nodes.find(({ name }) => name !== nodeName)?.name ?? '';
  for (const family of FAMILIES) {
    const images = await balancerOf(cluster, 'images', family);
    const route = `${images}/${family === 'IPv4' ? 32 : 128}`;
    const own = family === 'IPv4' ? client.ipv4 : client.ipv6;
    await cluster.lab.route(route, nodeName);
    const answer = await client.actor.http(images);
    checks.answered(
      `images, Local, over ${family}: sees the client`,
      answer,
      (probe) => probe.seenSource === own,
      `saw ${answer.seenSource}`,
    );
    await cluster.lab.route(route, other);
    const dropped = await client.actor.http(images, 80, { timeoutMs: 300 });
    checks.refused('  by a node without a backend: dropped', dropped, 'ETIMEDOUT');
    await cluster.lab.route(route, nodeName);
  }
}

async function balancers(cluster: Cluster, checks: Checks): Promise<void> {
  const { actor } = cluster.lab.client();
  for (const family of FAMILIES) {
    const storefront = await balancerOf(cluster, 'storefront', family);
    const load = await actor.load({ protocol: 'http', address: storefront, port: 80, count: 300 });
    const report = await load.finished();
    checks.unbroken(`storefront, load balancer over ${family}, 300 connections`, report);
    spread(report.who);
  }
  const partner = await actor.http(await balancerOf(cluster, 'partner-api'), 80, { timeoutMs: 300 });
  checks.refused('partner-api, outside its source ranges: dropped', partner, 'ETIMEDOUT');
}

async function externalIps(cluster: Cluster, checks: Checks): Promise<void> {
  for (const family of FAMILIES) {
    checks.answered(
      `legacy, external address over ${family}`,
      await cluster.lab.client().actor.http(EXTERNAL[family], 8000),
    );
  }
}

export async function showOutside(cluster: Cluster, checks: Checks): Promise<void> {
  const client = cluster.lab.client();
  scene('From outside');
  say(dim(`  a client behind a router, ${client.ipv4}, ${client.ipv6}; load-balancer addresses lead to all nodes`));
  await nodePorts(cluster, checks);
  await externalIps(cluster, checks);
  await localPolicy(cluster, checks);
  await balancers(cluster, checks);
}
