/** A real kube-proxy, when KUBE_PROXY names its binary; fed by the same API server as the agents. */
import {
  type KubeProxyBinary,
  type KubeProxyMode,
  KubeProxyProcess,
  versionOf,
} from '../../test/support/kube-proxy/process.ts';
import type { LabNode } from '../../test/support/lab/node.ts';
import { poll } from '../../test/support/lab/poll.ts';
import { runLoad } from '../load/run.ts';
import { type ModelService, POD_CIDR } from '../rules/model.ts';
import type { World } from '../world/world.ts';
import { type Competitor, NotAvailable } from './competitor.ts';
import { forgetClosed } from './rules.ts';

const IN_FORCE_MS = 300_000;

function startOn(world: World, node: LabNode, mode: KubeProxyMode, binary: KubeProxyBinary): KubeProxyProcess {
  const { lab, api } = world;
  const settings = { podCidr: POD_CIDR, nodePortAddresses: [`${node.ipv4}/32`] };
  return new KubeProxyProcess({
    directory: lab.directory,
    kubeconfig: api.kubeconfig,
    node,
    mode,
    binary,
    ...settings,
  });
}

/** The addresses that the benchmark dials: those whose endpoints exist. */
function dialledTargets(world: World, services: readonly ModelService[]): string[] {
  const real = new Set(world.endpoints.map(({ address }) => address));
  return services
    .filter(({ endpoints }) => endpoints.some(({ address }) => real.has(address)))
    .map(({ clusterIp, ports }) => `${clusterIp}:${ports[0]?.port}`);
}

/** Waits until all that is dialled answers. @throws NotAvailable when that does not come, or when kube-proxy ends */
async function waitInForce(world: World, node: LabNode, services: readonly ModelService[], proxy: KubeProxyProcess) {
  const targets = dialledTargets(world, services);
  const dials = { targets: targets.join(','), count: 4 * targets.length, seconds: 10 };
  const serves = async () => {
    await proxy.mustRun();
    const { count, errors } = await runLoad(node.pod('client'), world.tools.load, 'connect', dials);
    return count > 0 && errors === 0;
  };
  try {
    await poll(`see kube-proxy serve ${targets.length} Services`, serves, { timeoutMs: IN_FORCE_MS, everyMs: 200 });
  } catch (error) {
    throw new NotAvailable((error as Error).message);
  }
}

/** @throws Error when the binary does not run */
export function kubeProxy(mode: KubeProxyMode, binary: KubeProxyBinary): Competitor {
  const tools = mode === 'iptables' ? ` (iptables-${binary.iptables})` : '';
  return {
    name: mode,
    label: `kube-proxy ${versionOf(binary.path)}, ${mode} mode${tools}`,
    parts: ['connect', 'established', 'northsouth', 'control', 'spread'],
    async controlPlane({ world, node }) {
      const proxy = startOn(world, node, mode, binary);
      return { pid: proxy.pid, check: () => proxy.mustRun(), stop: () => proxy.stop() };
    },
    async install({ world, node, services }) {
      const proxy = startOn(world, node, mode, binary);
      try {
        await waitInForce(world, node, services, proxy);
        await forgetClosed(node);
      } finally {
        // What was written stays: it is measured without the daemon, as Sluice is.
        await proxy.end();
      }
    },
  };
}
