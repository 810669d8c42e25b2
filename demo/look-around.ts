/** What KEEP=1 prints: ways to look around. */
import type { Cluster } from '../test/support/lab/cluster.ts';
import { netnsPath } from '../test/support/lab/names.ts';
import { pinOf } from './kernel.ts';
import { addressOf, balancerOf } from './services.ts';
import { bold, dim, say, scene } from './terminal.ts';

export async function printWays(cluster: Cluster): Promise<void> {
  const { lab, api } = cluster;
  const node = lab.node(1);
  const pod = cluster.podOf('cart');
  const inNode = `nsenter --net=${netnsPath(node.netns)}`;
  const ways: [string, string][] = [
    ['what Sluice says', `bin/sluice status --bpf-root ${node.bpfRoot}`],
    ['', `bin/sluice service list --bpf-root ${node.bpfRoot}`],
    ['Kubernetes objects', `${inNode} kubectl --kubeconfig ${api.adminKubeconfig} get svc,endpointslices -A`],
    ['from a pod', `nsenter --net=${netnsPath(pod.pod.netns)} ping -c 1 ${lab.node(2).ipv4}`],
    ['from a node', `${inNode} curl -s http://127.0.0.1:30080/`],
    [
      'from outside',
      `nsenter --net=${netnsPath(lab.client().netns)} curl -s http://${await balancerOf(cluster, 'storefront')}/`,
    ],
    ['health, metrics', `${inNode} curl -s http://127.0.0.1:10249/metrics`],
    ['maps', `bpftool map dump pinned ${pinOf(node, 'frontends')}`],
    ['logs', `tail ${lab.directory}/logs/*`],
  ];
  scene('The cluster stays up');
  for (const [what, command] of ways) say(`  ${dim(what.padEnd(20))}${command}`);
  say(
    `  ${dim('processes of a pod'.padEnd(20))}are those in its cgroup; to dial ${await addressOf(cluster, 'catalog')} as a pod does:`,
  );
  say(
    `  ${''.padEnd(20)}sh -c 'echo $$ > ${pod.pod.cgroup}/cgroup.procs; exec nsenter --net=${netnsPath(pod.pod.netns)} curl -s http://${await addressOf(cluster, 'catalog')}/'`,
  );
  say(`\n  ${bold('make demo-down')} removes every trace.`);
}
