/** A real kube-proxy on a node of the lab. */
import { type ChildProcess, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import type { LabNode } from '../lab/node.ts';
import { Hopeless } from '../lab/poll.ts';

export type KubeProxyMode = 'iptables' | 'nftables';
export type IptablesVariant = 'legacy' | 'nft';

/** Which binary, and with which tools. */
export interface KubeProxyBinary {
  readonly path: string;
  readonly iptables: IptablesVariant;
}

export interface KubeProxyOptions {
  /** Of the lab; logs are in its directory `logs`. */
  readonly directory: string;
  readonly kubeconfig: string;
  readonly node: LabNode;
  readonly mode: KubeProxyMode;
  readonly binary: KubeProxyBinary;
  /** One of each family that it serves, with a comma between them. */
  readonly podCidr: string;
  readonly nodePortAddresses: readonly string[];
}

const CLEANUP_MS = 120_000;

/** `v1.36.0`. @throws Error when the binary does not run */
export function versionOf(binary: string): string {
  try {
    return execFileSync(binary, ['--version'], { encoding: 'utf8', timeout: 10_000 }).trim().replace('Kubernetes ', '');
  } catch (error) {
    throw new Error(`run KUBE_PROXY=${binary}: ${(error as Error).message.split('\n')[0]}`);
  }
}

/** Before 1.21: it has no `discovery.k8s.io/v1`, is fed by Endpoints, and serves IPv4 alone. */
export function isOld({ path }: KubeProxyBinary): boolean {
  const [, major, minor] = /^v(\d+)\.(\d+)/.exec(versionOf(path)) ?? [];
  return Number(major) === 1 && Number(minor) < 21;
}

/** Nothing outside the namespace is tuned: conntrack's limits are the machine's. */
function configuration({ node, mode, kubeconfig, podCidr, nodePortAddresses, binary }: KubeProxyOptions): string {
  return JSON.stringify({
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode,
    clusterCIDR: podCidr,
    hostnameOverride: node.name,
    clientConnection: { kubeconfig },
    healthzBindAddress: '127.0.0.1:10256',
    metricsBindAddress: '127.0.0.1:10249',
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
    ...(isOld(binary) ? {} : { iptables: { localhostNodePorts: false } }),
    nodePortAddresses,
    ...(isOld(binary) ? { featureGates: { EndpointSliceProxying: false } } : {}),
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
function pathWith(parent: string, variant: IptablesVariant): string {
  const directory = join(parent, `iptables-${variant}`);
  if (mkdirSync(directory, { recursive: true }) !== undefined)
    for (const tool of ['iptables', 'ip6tables'])
      for (const suffix of ['', '-save', '-restore'])
        symlinkSync(`/usr/sbin/${tool}-${variant}${suffix}`, join(directory, tool + suffix));
  return `${directory}:${process.env.PATH}`;
}

export class KubeProxyProcess {
  readonly #child: ChildProcess;
  readonly #log: string;
  /** The command, without its flags. */
  readonly #command: readonly string[];
  readonly #node: LabNode;
  readonly #written: Promise<unknown>;

  /** Starts it on a node; its log goes to the lab's directory. */
  constructor(options: KubeProxyOptions) {
    const { directory, node, binary } = options;
    const file = join(directory, `kube-proxy-${node.name}.json`);
    writeFileSync(file, configuration(options));
    this.#command = ['env', `PATH=${pathWith(directory, binary.iptables)}`, binary.path];
    this.#node = node;
    this.#log = join(directory, 'logs', `kube-proxy-${node.name}.log`);
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

  /** The end of its log. */
  get log(): string {
    return readFileSync(this.#log, 'utf8').slice(-3000);
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
