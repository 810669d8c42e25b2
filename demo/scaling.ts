/** A Service scaled up and down, and an agent killed, while clients go on asking. */
import type { Agent } from '../test/support/lab/agent.ts';
import type { Cluster } from '../test/support/lab/cluster.ts';
import type { Load } from '../test/support/traffic/actor.ts';
import type { LoadOptions } from '../test/support/traffic/protocol.ts';
import type { Checks } from './checks.ts';
import { addressOf, balancerOf } from './services.ts';
import { dim, say, scene, spread, step } from './terminal.ts';
import { waitForBackends } from './wait.ts';

const FEW = 2;
const MANY = 8;
const PER_SECOND = 40;

/** Requests that take a quarter of a second, so that some are always under way. */
const request = (address: string): LoadOptions => {
  return {
    protocol: 'http',
    address,
    port: 80,
    path: '/slow?ms=250',
    concurrency: 32,
    rate: PER_SECOND,
    timeoutMs: 5000,
  };
};

async function startLoads(cluster: Cluster): Promise<[string, Load][]> {
  const pod = cluster.podOf('cart').pod.actor;
  const outside = cluster.lab.client().actor;
  const node = cluster.lab.node(3).actor;
  return [
    ['a pod, cluster address, IPv4', await pod.load(request(await addressOf(cluster, 'storefront')))],
    ['a pod, cluster address, IPv6', await pod.load(request(await addressOf(cluster, 'storefront', 'IPv6')))],
    ['a node, cluster address', await node.load(request(await addressOf(cluster, 'storefront')))],
    ['outside, load balancer, IPv4', await outside.load(request(await balancerOf(cluster, 'storefront')))],
    ['outside, load balancer, IPv6', await outside.load(request(await balancerOf(cluster, 'storefront', 'IPv6')))],
  ];
}

/** Who answers now. */
async function census(cluster: Cluster): Promise<Record<string, number>> {
  const load = await cluster.podOf('cart').pod.actor.load({
    protocol: 'http',
    address: await addressOf(cluster, 'storefront'),
    port: 80,
    count: 160,
  });
  return (await load.finished()).who as Record<string, number>;
}

async function resize(cluster: Cluster, checks: Checks, replicas: number): Promise<void> {
  const before = cluster.pods.of('storefront').length;
  const how = replicas > before ? 'pods start' : 'pods terminate, drain, and are gone';
  await step(`storefront: from ${before} to ${replicas}; ${how}`, () => cluster.scale('storefront', replicas));
  await waitForBackends(cluster);
  const who = await census(cluster);
  const wanted = cluster.pods.of('storefront').map(({ name }) => name);
  const same = wanted.length === Object.keys(who).length && wanted.every((name) => name in who);
  checks.expect(
    same,
    `  these ${replicas} pods answer now, and no other`,
    `${Object.keys(who).length} of ${wanted.length}`,
  );
  spread(who);
}

/** SIGKILL, and a new one that takes over what is in the kernel. @returns the new agent */
async function replaceAgent(cluster: Cluster, agent: Agent): Promise<void> {
  await agent.kill();
  await cluster.lab.startAgent(agent.node.name, { kubeconfig: cluster.api.kubeconfig });
}

export async function showScaling(cluster: Cluster, agents: readonly Agent[], checks: Checks): Promise<void> {
  scene('Scaling under load');
  say(dim(`  five clients, ${PER_SECOND} new connections a second each, a quarter of a second each`));
  const loads = await startLoads(cluster);
  await resize(cluster, checks, MANY);
  const victim = agents[1];
  if (victim !== undefined) {
    await step(`the agent of ${victim.node.name}: killed with SIGKILL, started again`, () =>
      replaceAgent(cluster, victim),
    );
  }
  await resize(cluster, checks, FEW);
  const reports = await Promise.all(loads.map(async ([what, load]) => [what, await load.stop()] as const));
  for (const [what, report] of reports) checks.unbroken(`from ${what}`, report);
}
