/** What KEEP=1 prints: ways to look around. */
import { join } from 'node:path';
import type { Cluster } from '../test/support/lab/cluster.ts';
import { pinOf } from './kernel.ts';
import { addressOf, balancerOf } from './services.ts';
import { bold, dim, say, scene } from './terminal.ts';

export async function printWays(cluster: Cluster): Promise<void> {
  const { lab, api } = cluster;
  const node = lab.node(1);
  const pod = cluster.podOf('cart').pod;
  const enter = join(lab.directory, 'enter');
  const ways: [string, string][] = [
    ['what Sluice says', `${enter} node1 bin/sluice status --bpf-root ${node.bpfRoot}`],
    ['', `bin/sluice service list --bpf-root ${node.bpfRoot}`],
    ['Kubernetes objects', `kubectl --kubeconfig ${api.adminKubeconfig} get svc,endpointslices -A`],
    ['from a pod', `${enter} ${pod.name} curl -s http://${await addressOf(cluster, 'catalog')}/`],
    ['from a node', `${enter} node1 curl -s http://127.0.0.1:30080/`],
    ['from outside', `${enter} client1 curl -s http://${await balancerOf(cluster, 'storefront')}/`],
    ['metrics', `${enter} node1 curl -s http://127.0.0.1:10249/metrics`],
    ['maps', `bpftool map dump pinned ${pinOf(node, 'frontends')}`],
    ['logs', `tail ${lab.directory}/logs/*`],
  ];
  scene('The cluster stays up');
  for (const [what, command] of ways) say(`  ${dim(what.padEnd(20))}${command}`);
  say(`\n  ${bold('make demo-down')} removes every trace.`);
}
