/** Requests from inside the cluster: from a pod and from a node. */
import type { Cluster } from '../test/support/lab/cluster.ts';
import type { Host } from '../test/support/lab/host.ts';
import type { RunningPod } from '../test/support/lab/pods.ts';
import type { Probe } from '../test/support/traffic/protocol.ts';
import type { Checks } from './checks.ts';
import { addressOf } from './services.ts';
import { dim, say, scene, spread } from './terminal.ts';

const DNS = { IPv4: '10.96.0.10', IPv6: 'fd96::a' };

/** Looks a name up at the cluster's DNS, then asks the address: what an application does. */
async function resolveThenAsk(checks: Checks, client: Host): Promise<void> {
  for (const [family, type] of [
    ['IPv4', 'A'],
    ['IPv6', 'AAAA'],
  ] as const) {
    const name = 'catalog.shop.svc.cluster.local';
    const answer = await client.actor.resolve({ server: DNS[family], name, type });
    const [address = ''] = answer.records;
    checks.expect(
      answer.ok,
      `${type} ${name}`,
      answer.ok ? `${address}, asked ${DNS[family]} over UDP` : `${answer.errno}`,
    );
    if (answer.ok) checks.answered(`GET http://catalog/ over ${family}`, await client.actor.http(address));
  }
}

async function affinity(cluster: Cluster, checks: Checks, client: Host): Promise<void> {
  const cart = await addressOf(cluster, 'cart');
  const answers: Probe[] = [];
  for (let i = 0; i < 12; i++) answers.push(await client.actor.http(cart));
  const who = new Set(answers.map((probe) => (probe.ok ? probe.who : probe.errno)));
  checks.expect(
    answers.every((probe) => probe.ok) && who.size === 1,
    'cart, session affinity, 12 connections',
    [...who].join(', '),
  );
}

async function ports(cluster: Cluster, checks: Checks, client: Host): Promise<void> {
  const orders = await addressOf(cluster, 'orders');
  for (const [name, port, target] of [
    ['http', 80, 8080],
    ['grpc', 9090, 9090],
    ['metrics', 9100, 9100],
  ] as const) {
    const answer = await client.actor.http(orders, port);
    checks.answered(
      `orders, port ${name} ${port}`,
      answer,
      (probe) => probe.serverPort === target,
      `at ${answer.serverPort}`,
    );
  }
}

async function headless(cluster: Cluster, checks: Checks, client: Host): Promise<void> {
  const { records } = await client.actor.resolve({ server: DNS.IPv4, name: 'db.shop.svc.cluster.local' });
  const pods = cluster.pods.of('db').map(({ addresses }) => addresses.IPv4);
  const same = records.length === pods.length && pods.every((address) => records.includes(address ?? ''));
  checks.expect(same, 'db, headless: its name leads to the pods', records.join(', '));
  checks.answered('db, to one of them', await client.actor.tcp(records[0] ?? '', 5432));
}

async function ownNode(cluster: Cluster, checks: Checks, client: RunningPod): Promise<void> {
  const cache = await addressOf(cluster, 'cache');
  const local = cluster.pods.of('cache').find((pod) => pod.nodeName === client.nodeName);
  const answer = await client.pod.actor.tcp(cache, 6379);
  checks.answered(
    'cache, internalTrafficPolicy: Local',
    answer,
    (probe) => probe.who === local?.name,
    `the one on ${client.nodeName}`,
  );
}

/** New connections one after another: how they spread, and how long each took. */
async function balance(cluster: Cluster, checks: Checks, client: Host): Promise<void> {
  const load = await client.actor.load({
    protocol: 'http',
    address: await addressOf(cluster, 'catalog'),
    port: 80,
    count: 600,
  });
  const report = await load.finished();
  checks.unbroken('catalog, 600 connections', report);
  const pods = cluster.pods.all.filter((pod) => pod.labels.app === 'catalog');
  const reached = Object.keys(report.who);
  checks.expect(
    reached.length === pods.length,
    '  every backend has its share, v1 on 8080, v2 on 9080',
    `${reached.length} of ${pods.length}`,
  );
  spread(report.who);
}

async function fromNode(cluster: Cluster, checks: Checks): Promise<void> {
  const node = cluster.lab.node(1);
  checks.answered('search, IPv6 alone', await node.actor.http(await addressOf(cluster, 'search', 'IPv6')));
  checks.answered('payments at 127.0.0.1:30080', await node.actor.http('127.0.0.1', 30080));
  checks.answered("payments at another node's address", await node.actor.http(cluster.lab.node(2).ipv4, 30080));
}

async function refusals(cluster: Cluster, checks: Checks, client: Host): Promise<void> {
  for (const family of ['IPv4', 'IPv6'] as const) {
    const reviews = await addressOf(cluster, 'reviews', family);
    checks.refused(`reviews, no endpoints, over ${family}`, await client.actor.http(reviews), 'ECONNREFUSED');
  }
}

export async function showInside(cluster: Cluster, checks: Checks): Promise<void> {
  const client = cluster.podOf('storefront');
  scene('From a pod');
  say(dim(`  ${client.name} on ${client.nodeName}, ${client.addresses.IPv4}, ${client.addresses.IPv6}`));
  await resolveThenAsk(checks, client.pod);
  await ports(cluster, checks, client.pod);
  await affinity(cluster, checks, client.pod);
  await headless(cluster, checks, client.pod);
  await ownNode(cluster, checks, client);
  await refusals(cluster, checks, client.pod);
  await balance(cluster, checks, client.pod);
  scene('From a node');
  await fromNode(cluster, checks);
}
