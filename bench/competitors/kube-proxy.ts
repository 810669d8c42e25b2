/** A real kube-proxy, when KUBE_PROXY names its binary; fed by the same API server as the agents. */
import { type ChildProcess, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import type { LabNode } from '../../test/support/lab/node.ts';
import { Hopeless, poll } from '../../test/support/lab/poll.ts';
import { runLoad } from '../load/run.ts';
import { type ModelService, POD_CIDR } from '../rules/model.ts';
import type { World } from '../world/world.ts';
import { type Competitor, NotAvailable } from './competitor.ts';
import { forgetClosed, type IptablesVariant } from './rules.ts';

export type KubeProxyMode = 'iptables' | 'nftables';

const IN_FORCE_MS = 300_000;
const CLEANUP_MS = 120_000;

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

/** The line of its log that says most: the last error, else the last line. */
export function lastWord(log: string): string {
  const lines = log.split('\n').filter((line) => line.trim() !== '');
  // klog: a letter for the severity and the date; an unwanted end is an error or fatal, then a usage text may follow.
  const line = lines.findLast((one) => /^[EF]\d{4} |^(error|panic):|Error:/i.test(one)) ?? lines.at(-1) ?? 'no word';
  return line.replace(/^[A-Z]\d{4} \S+\s+\d+ \S+\] /, '').slice(0, 200);
}

/**
 * A PATH on which the `iptables` tools are those of a variant: kube-proxy takes what the machine has by that name,
 * which is not ours to change.
 */
function pathWith(world: World, variant: IptablesVariant): string {
  const directory = join(world.lab.directory, `iptables-${variant}`);
  if (mkdirSync(directory, { recursive: true }) !== undefined)
    for (const tool of ['iptables', 'ip6tables'])
      for (const suffix of ['', '-save', '-restore'])
        symlinkSync(`/usr/sbin/${tool}-${variant}${suffix}`, join(directory, tool + suffix));
  return `${directory}:${process.env.PATH}`;
}

/** Which binary, and with which tools. */
export interface KubeProxyBinary {
  readonly path: string;
  readonly iptables: IptablesVariant;
}

export class KubeProxyProcess {
  readonly #child: ChildProcess;
  readonly #log: string;
  /** The command, without its flags. */
  readonly #command: readonly string[];
  readonly #node: LabNode;
  readonly #written: Promise<unknown>;

  /** Starts it on a node; its log goes to the lab's directory. */
  constructor(world: World, node: LabNode, mode: KubeProxyMode, binary: KubeProxyBinary) {
    const file = join(world.lab.directory, `kube-proxy-${node.name}.json`);
    writeFileSync(file, configuration(node, mode, world.api.kubeconfig));
    this.#command = ['env', `PATH=${pathWith(world, binary.iptables)}`, binary.path];
    this.#node = node;
    this.#log = join(world.lab.directory, 'logs', `kube-proxy-${node.name}.log`);
    this.#child = node.spawn([...this.#command, '--config', file], { stdio: ['ignore', 'pipe', 'pipe'] });
    const log = createWriteStream(this.#log);
    this.#written = finished(log);
    this.#child.stdout?.pipe(log, { end: false });
    this.#child.stderr?.pipe(log, { end: false });
    this.#child.once('close', () => log.end());
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  get #running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** @throws Hopeless with what it said, when it has ended */
  async mustRun(): Promise<void> {
    if (this.#running) return;
    await this.#written;
    const how = this.#child.signalCode ?? `code ${this.#child.exitCode}`;
    throw new Hopeless(`kube-proxy ended (${how}): ${lastWord(readFileSync(this.#log, 'utf8'))}`);
  }

  /** What it wrote into the kernel stays. */
  async end(): Promise<void> {
    if (!this.#running) return;
    this.#child.kill('SIGTERM');
    await once(this.#child, 'close');
  }

  /** Ends it and takes away what it wrote. */
  async stop(): Promise<void> {
    await this.end();
    await this.#node.exec([...this.#command, '--cleanup'], { timeoutMs: CLEANUP_MS });
  }
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

/** `v1.36.0`. @throws Error when the binary does not run */
function versionOf(binary: string): string {
  try {
    return execFileSync(binary, ['--version'], { encoding: 'utf8', timeout: 10_000 }).trim().replace('Kubernetes ', '');
  } catch (error) {
    throw new Error(`run KUBE_PROXY=${binary}: ${(error as Error).message.split('\n')[0]}`);
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
      const proxy = new KubeProxyProcess(world, node, mode, binary);
      return { pid: proxy.pid, check: () => proxy.mustRun(), stop: () => proxy.stop() };
    },
    async install({ world, node, services }) {
      const proxy = new KubeProxyProcess(world, node, mode, binary);
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
