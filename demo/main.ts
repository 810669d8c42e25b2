/** `make demo`: a small cluster in namespaces, Sluice on every node, real requests. KEEP=1 leaves it up. */
import { fileURLToPath } from 'node:url';
import { readManifests } from '../test/support/apiserver/manifests.ts';
import type { Agent } from '../test/support/lab/agent.ts';
import { type Cluster, startCluster } from '../test/support/lab/cluster.ts';
import { listLeftovers } from '../test/support/lab/leftovers.ts';
import { Checks } from './checks.ts';
import { hold, isHolder, showAndHold } from './hold.ts';
import { showInside } from './inside.ts';
import { showKernel } from './kernel.ts';
import { printWays } from './look-around.ts';
import { DEMO_ID } from './names.ts';
import { routeToNodes, showOutside } from './outside.ts';
import { showScaling } from './scaling.ts';
import { takeDown } from './take-down.ts';
import { bold, say, scene, step } from './terminal.ts';
import { waitForBackends } from './wait.ts';

const examples = fileURLToPath(new URL('../examples', import.meta.url));

async function setUp(): Promise<{ cluster: Cluster; agents: Agent[] }> {
  await takeDown();
  const layOut = () => startCluster({ id: DEMO_ID, nodes: 3, externalClients: 1 });
  const cluster = await step('three nodes, a router, a client outside, an API server', layOut);
  try {
    const agents = await step('sluice agent on each node, none of kube-proxy', () => cluster.startAgents());
    const manifests = await readManifests(examples);
    const services = manifests.filter(({ kind }) => kind === 'Service').length;
    await step(`examples/: ${services} Services, their pods start`, () => cluster.apply(manifests));
    await step('in force on every node, DNS knows the names', async () => {
      await routeToNodes(cluster);
      await cluster.publishNames('coredns');
      await waitForBackends(cluster);
    });
    return { cluster, agents };
  } catch (error) {
    await cluster.destroy();
    throw error;
  }
}

async function show(cluster: Cluster, agents: readonly Agent[], start: number): Promise<number> {
  const checks = new Checks();
  await showInside(cluster, checks);
  await showOutside(cluster, checks);
  await showScaling(cluster, agents, checks);
  await showKernel(cluster, checks);
  const seconds = ((performance.now() - start) / 1000).toFixed(0);
  const { failed } = checks;
  scene(
    failed.length === 0 ? `All went as it should, in ${seconds} s.` : `${failed.length} went wrong, in ${seconds} s:`,
  );
  for (const failure of failed) say(`  ✗ ${failure}`);
  return failed.length === 0 ? 0 : 1;
}

async function run(): Promise<number> {
  const start = performance.now();
  say(bold('Sluice: Services of Kubernetes, carried by the kernel'));
  scene('Setting up');
  const { cluster, agents } = await setUp();
  const interrupted = (signal: NodeJS.Signals) =>
    cluster.destroy().finally(() => process.exit(signal === 'SIGINT' ? 130 : 143));
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
  try {
    const code = await show(cluster, agents, start);
    if (isHolder()) {
      await printWays(cluster);
      process.off('SIGINT', interrupted).off('SIGTERM', interrupted);
      await hold(code);
    }
    return code;
  } finally {
    await cluster.destroy();
    const left = listLeftovers(DEMO_ID);
    if (left.length > 0) say(`Still there: ${left.join(', ')}`);
  }
}

try {
  process.exitCode = process.env.KEEP === '1' && !isHolder() ? await showAndHold() : await run();
} catch (error) {
  say(`  ✗ ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}
process.exit();
