/** A place where processes run: a network namespace together with a cgroup. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { join } from 'node:path';
import { Actor } from '../traffic/actor.ts';
import type { Addresses } from './addressing.ts';
import { makeCgroup } from './cgroup.ts';
import { netnsPath } from './names.ts';

/** `nsenter --net`, and not `ip netns exec`, which hides cgroups and bpffs under a fresh /sys. */
const ENTER = 'echo $$ > "$1" && shift && exec nsenter --net="$@"';

export interface CommandResult {
  /** Exit code; -1 when a signal ended it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface HostInit {
  readonly name: string;
  readonly netns: string;
  readonly cgroup: string;
  readonly addresses: Addresses;
}

export class Host {
  /** `node1`, `node1-pod1`, `client1`, `net` */
  readonly name: string;
  /** As `ip netns` shows it. */
  readonly netns: string;
  /** The cgroup v2 directory of its processes. */
  readonly cgroup: string;
  readonly addresses: Addresses;
  /** The process that serves and dials here; started when first used. */
  readonly actor: Actor;

  constructor({ name, netns, cgroup, addresses }: HostInit) {
    this.name = name;
    this.netns = netns;
    this.cgroup = makeCgroup(cgroup);
    this.addresses = addresses;
    this.actor = new Actor(name, (command, args) =>
      this.spawn([command, ...args], { stdio: ['pipe', 'pipe', 'inherit'] }),
    );
  }

  /** Its IPv4 address. @throws Error in a lab without IPv4 */
  get ipv4(): string {
    return this.#address('IPv4');
  }

  /** Its IPv6 address. @throws Error in a lab without IPv6 */
  get ipv6(): string {
    return this.#address('IPv6');
  }

  #address(family: 'IPv4' | 'IPv6'): string {
    const address = this.addresses[family];
    if (address === undefined) throw new Error(`address ${this.name}: the lab has no ${family}`);
    return address;
  }

  /** Starts a command in the namespace and the cgroup; the pid of the child is the command's own. */
  spawn(argv: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const procs = join(this.cgroup, 'cgroup.procs');
    return spawn('sh', ['-c', ENTER, 'sh', procs, netnsPath(this.netns), '--', ...argv], options);
  }

  /** Runs a command to its end. Never rejects for its exit code. */
  exec(argv: readonly string[], { input = '', timeoutMs = 30_000 } = {}): Promise<CommandResult> {
    return new Promise((resolve, reject) => {
      const child = this.spawn(argv, { stdio: ['pipe', 'pipe', 'pipe'], timeout: timeoutMs, killSignal: 'SIGKILL' });
      const out: Record<'stdout' | 'stderr', string> = { stdout: '', stderr: '' };
      for (const stream of ['stdout', 'stderr'] as const) {
        child[stream]?.setEncoding('utf8').on('data', (text: string) => {
          out[stream] += text;
        });
      }
      child.on('error', reject);
      child.on('close', (code) => resolve({ code: code ?? -1, ...out }));
      child.stdin?.on('error', () => {}); // it may end before it has read its input
      child.stdin?.end(input);
    });
  }

  /** Runs a command. @returns its stdout. @throws Error when it fails */
  async run(argv: readonly string[], options: { input?: string; timeoutMs?: number } = {}): Promise<string> {
    const { code, stdout, stderr } = await this.exec(argv, options);
    if (code !== 0)
      throw new Error(`run ${argv.join(' ')} in ${this.name}: exit ${code}: ${stderr.trim() || stdout.trim()}`);
    return stdout;
  }
}
