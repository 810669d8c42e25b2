/** A real kube-proxy, when KUBE_PROXY names its binary; fed by the same API server as the agents. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LabNode } from '../../test/support/lab/node.ts';
import { poll } from '../../test/support/lab/poll.ts';
import { runLoad } from '../load/run.ts';
import { POD_CIDR } from '../rules/model.ts';
import type { World } from '../world/world.ts';
import { type Competitor, NotAvailable } from './competitor.ts';

export type KubeProxyMode = 'iptables' | 'nftables';

/** Nothing outside the namespace is tuned: conntrack's limits are the machine's. */
function configuration(node: LabNode, mode: KubeProxyMode, kubeconfig: string): string {
  return JSON.stringify({
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode,
    clusterCIDR: POD_CIDR,
    hostnameOverride: node.name,
    clientConnection: { kubeconfig },
    healthzBindAddress: '127.0.0.1:10256',
    metricsBindAddress: '127.0.0.1:10249',
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
    iptables: { localhostNodePorts: false },
    nodePortAddresses: [`${node.ipv4}/32`],
  });
}

/** Starts it on a node; its log goes to the lab's directory. */
export function startKubeProxy(world: World, node: LabNode, mode: KubeProxyMode, binary: string): ChildProcess {
  const file = join(world.lab.directory, `kube-proxy-${node.name}.json`);
  writeFileSync(file, configuration(node, mode, world.api.kubeconfig));
  const child = node.spawn([binary, '--config', file], { stdio: ['ignore', 'pipe', 'pipe'] });
  const log = createWriteStream(join(world.lab.directory, 'logs', `kube-proxy-${node.name}.log`));
  child.stdout?.pipe(log, { end: false });
  child.stderr?.pipe(log, { end: false });
  return child;
}

async function stopKubeProxy(node: LabNode, child: ChildProcess, binary: string): Promise<void> {
  child.kill('SIGTERM');
  await once(child, 'exit');
  await node.exec([binary, '--cleanup'], { timeoutMs: 120_000 });
}

export function kubeProxy(mode: KubeProxyMode, binary: string): Competitor {
  let running: ChildProcess | undefined;
  return {
    name: mode,
    label: `kube-proxy, ${mode} mode (${binary})`,
    parts: ['connect', 'established', 'northsouth', 'control', 'spread'],
    async controlPlane({ world, node }) {
      const child = startKubeProxy(world, node, mode, binary);
      return { pid: child.pid ?? -1, stop: () => stopKubeProxy(node, child, binary) };
    },
    async install({ world, node, services }) {
      running?.kill('SIGTERM');
      running = startKubeProxy(world, node, mode, binary);
      const last = services.findLast(({ endpoints }) => endpoints[0]?.nodeName === world.backends.name);
      const targets = `${last?.clusterIp}:${last?.ports[0]?.port}`;
      await poll(
        `see ${mode} mode serve ${targets}`,
        async () => {
          if (running?.exitCode !== null) throw new NotAvailable(`${binary} ended with ${running?.exitCode}`);
          const { count } = await runLoad(node.pod('client'), world.tools.load, 'connect', { targets, count: 1 });
          return count > 0;
        },
        { timeoutMs: 300_000, everyMs: 200 },
      );
      // What was written stays: it is measured without the daemon, as Sluice is.
      running.kill('SIGTERM');
    },
  };
}
