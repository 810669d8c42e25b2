/** `sluice agent` on a node of the lab: started as a person would start it, watched by its log. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { LabNode } from './node.ts';
import { Hopeless, poll } from './poll.ts';

export interface AgentOptions {
  /** One of kubeconfig and manifests says where objects come from. */
  readonly kubeconfig?: string;
  readonly manifests?: string;
  /** A KubeProxyConfiguration file. */
  readonly config?: string;
  readonly socketLb?: 'all' | 'host-only';
  readonly devices?: string;
  readonly podDevices?: string;
  readonly extraArgs?: readonly string[];
  /** Started in place of `bin/sluice` with the flags that the options above stand for. */
  readonly command?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** Resolve when the first sync is in force; default true. */
  readonly waitSynced?: boolean;
  /** Milliseconds for that; default 20,000. */
  readonly timeoutMs?: number;
}

/** A line of the agent's log; what is not JSON comes as `{ msg: line }`. */
export interface LogLine {
  readonly msg?: string;
  readonly level?: number | string;
  readonly [field: string]: unknown;
}

export interface Agent {
  readonly node: LabNode;
  readonly pid: number;
  /** Everything that it printed so far. */
  readonly logs: readonly LogLine[];
  /** The same as text, on disk. */
  readonly logFile: string;
  /** undefined while it runs. */
  readonly exit: { readonly code: number | null; readonly signal: NodeJS.Signals | null } | undefined;
  /** Waits for a line, old or new. @throws Error when it exits first or the time is over */
  waitForLog(what: string, matches: (line: LogLine) => boolean, timeoutMs?: number): Promise<LogLine>;
  /** SIGTERM; resolves when it is gone. @returns milliseconds that it took */
  stop(): Promise<number>;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
}

const binary = process.env.SLUICE_BIN ?? fileURLToPath(new URL('../../../bin/sluice', import.meta.url));

/** The command line that runs `sluice` with the given arguments. */
export function sluiceCommand(...args: string[]): string[] {
  return [binary, ...args];
}

function agentArguments(node: LabNode, options: AgentOptions): string[] {
  const flags: Record<string, string | undefined> = {
    '--node-name': node.name,
    '--kubeconfig': options.kubeconfig,
    '--manifests': options.manifests,
    '--config': options.config,
    '--socket-lb': options.socketLb,
    '--devices': options.devices,
    '--pod-devices': options.podDevices,
    '--cgroup-root': node.cgroupRoot,
    '--bpf-root': node.bpfRoot,
  };
  const given = Object.entries(flags).flatMap(([flag, value]) => (value === undefined ? [] : [flag, value]));
  return ['agent', ...given, ...(options.extraArgs ?? [])];
}

function parseLine(text: string): LogLine {
  try {
    const line: unknown = JSON.parse(text);
    return typeof line === 'object' && line !== null ? (line as LogLine) : { msg: text };
  } catch {
    return { msg: text };
  }
}

function collect(child: ChildProcess, logs: LogLine[], file: WriteStream): void {
  for (const stream of [child.stdout, child.stderr]) {
    if (stream === null) continue;
    createInterface({ input: stream }).on('line', (text) => {
      file.write(`${text}\n`);
      logs.push(parseLine(text));
    });
  }
}

/** Starts the agent in the node's namespace and host cgroup. @param logs directory for its log */
export async function startAgent(node: LabNode, logs: string, options: AgentOptions): Promise<Agent> {
  const child = node.spawn(options.command ?? sluiceCommand(...agentArguments(node, options)), {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
  });
  const lines: LogLine[] = [];
  const logFile = join(logs, `agent-${node.name}.log`);
  const file = createWriteStream(logFile, { flags: 'a' });
  let exit: Agent['exit'];
  collect(child, lines, file);
  const closed = once(child, 'close').then(() => file.end());
  const gone = once(child, 'exit').then(async ([code, signal]) => {
    await Promise.race([closed, delay(500)]); // its last words; a child of its own may hold the pipe open
    exit = { code, signal };
  });
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (exit === undefined) child.kill(signal);
    await gone;
  };
  const agent: Agent = {
    node,
    pid: child.pid ?? -1,
    logs: lines,
    logFile,
    get exit() {
      return exit;
    },
    waitForLog: (what, matches, timeoutMs = 20_000) =>
      poll(`see ${what} of the agent on ${node.name}`, () => lines.find(matches) ?? failIfGone(agent), { timeoutMs }),
    async stop() {
      const start = performance.now();
      await end('SIGTERM');
      return performance.now() - start;
    },
    kill: () => end('SIGKILL'),
  };
  if (options.waitSynced ?? true) await waitSynced(agent, options.timeoutMs);
  return agent;
}

function failIfGone(agent: Agent): undefined {
  if (agent.exit !== undefined) throw new AgentGone(agent);
  return undefined;
}

class AgentGone extends Hopeless {
  constructor(agent: Agent) {
    const last = agent.logs.slice(-8).map((line) => JSON.stringify(line));
    super(`the agent on ${agent.node.name} ended with ${agent.exit?.code ?? agent.exit?.signal}:\n${last.join('\n')}`);
  }
}

async function waitSynced(agent: Agent, timeoutMs?: number): Promise<void> {
  try {
    await agent.waitForLog('the first sync', (line) => line.msg === 'synced', timeoutMs);
  } catch (error) {
    await agent.kill();
    throw error;
  }
}
