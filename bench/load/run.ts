/** Starts the load generator in a place of the lab and reads what it says. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { createInterface } from 'node:readline';
import type { Host } from '../../test/support/lab/host.ts';

/** What `load connect`, `datagram` and `stream` print; times in microseconds. */
export interface LoadReport {
  readonly count: number;
  readonly errors: number;
  readonly seconds: number;
  readonly perSecond: number;
  readonly clientCpuUs: number;
  readonly p50Us: number;
  readonly p90Us: number;
  readonly p99Us: number;
  readonly maxUs: number;
  /** stream */
  readonly bytes?: number;
  /** connect --request name */
  readonly backends?: Readonly<Record<string, number>>;
}

const two = availableParallelism() > 1;
/** Clients and servers each keep to a core, so that the scheduler does not decide the result. */
export const CLIENT_CORE = two ? 0 : undefined;
export const SERVER_CORE = two ? 1 : undefined;

export function pinned(core: number | undefined, argv: readonly string[]): string[] {
  return core === undefined ? [...argv] : ['taskset', '-c', String(core), ...argv];
}

/** Flags as `--name value`. */
export function flags(values: Readonly<Record<string, string | number | undefined>>): string[] {
  return Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}`, String(value)]));
}

/** Runs a command of `load` to its end. @throws Error with what it printed */
export async function runLoad<T = LoadReport>(
  host: Host,
  load: string,
  command: string,
  values: Readonly<Record<string, string | number | undefined>>,
  options: { readonly nice?: number } = {},
): Promise<T> {
  const nice = options.nice === undefined ? [] : ['nice', '-n', String(options.nice)];
  const argv = pinned(CLIENT_CORE, [...nice, load, command, ...flags(values)]);
  const text = await host.run(argv, { timeoutMs: 120_000 });
  return JSON.parse(text) as T;
}

/** A command of `load` that stays: lines as they come. */
export class RunningLoad<T> {
  readonly lines: T[] = [];
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown>;

  constructor(
    host: Host,
    load: string,
    command: string,
    values: Readonly<Record<string, string | number | undefined>>,
  ) {
    const argv = pinned(CLIENT_CORE, [load, command, ...flags(values)]);
    this.#child = host.spawn(argv, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#closed = once(this.#child, 'close');
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on('line', (line) =>
      this.lines.push(JSON.parse(line) as T),
    );
  }

  /** Writes a line to its stdin. */
  ask(): void {
    this.#child.stdin?.write('\n');
  }

  /** SIGTERM and the end of stdin; resolves when all its lines are there. */
  async stop(): Promise<T[]> {
    this.#child.stdin?.end();
    this.#child.kill('SIGTERM');
    await this.#closed;
    return this.lines;
  }
}

/** Starts `load serve`; it ends with the lab. Resolves when its ports are open. */
export async function startServer(
  host: Host,
  load: string,
  values: Readonly<Record<string, string | number>>,
): Promise<void> {
  const child = host.spawn(pinned(SERVER_CORE, [load, 'serve', ...flags(values)]), {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise<void>((resolve, reject) => {
    child.stdout?.once('data', () => resolve());
    child.once('exit', (code) => reject(new Error(`serve in ${host.name}: exit ${code}`)));
  });
}
