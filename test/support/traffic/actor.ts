/** The test's hand inside a namespace: one process that serves and dials, told by JSON lines. */
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type {
  DialOptions,
  HttpOptions,
  LoadOptions,
  LoadReport,
  Probe,
  Resolution,
  ResolveOptions,
  ServeOptions,
  UdpOptions,
} from './protocol.ts';

const script = fileURLToPath(new URL('./actor.mjs', import.meta.url));

/** Starts a command where the actor belongs. */
export type Start = (command: string, args: readonly string[]) => ChildProcess;

interface Waiting {
  readonly operation: string;
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/** A TCP connection or a UDP socket that stays open between calls. */
export interface Conversation {
  /** The answer to the first greeting (TCP) or to nothing yet (UDP: ok, without `who`). */
  readonly opened: Probe;
  /** Sends some bytes and waits for the answer. */
  exchange(options?: { bytes?: number; timeoutMs?: number }): Promise<Probe>;
  /** Connects the same socket to another address: connected UDP only. */
  reconnect(address: string, port: number): Promise<void>;
  close(): Promise<void>;
}

export interface Load {
  report(): Promise<LoadReport>;
  /** Lets requests under way end. @returns the final report */
  stop(): Promise<LoadReport>;
  /** Resolves at the end of a load with `count`. */
  finished(): Promise<LoadReport>;
}

export class Actor {
  readonly #name: string;
  readonly #start: Start;
  readonly #waiting = new Map<number, Waiting>();
  #child: ChildProcess | undefined;
  #next = 1;

  /** The process starts with the first call. @param name answered as `who` */
  constructor(name: string, start: Start) {
    this.#name = name;
    this.#start = start;
  }

  /** Listens; resolves when every port is open. May be called again for more ports. */
  async serve(options: ServeOptions): Promise<void> {
    await this.#call('serve', { who: this.#name, ...options });
  }

  /** Closes listening sockets. @param ports default: all @param connections also end open connections */
  async unserve({
    ports,
    connections = false,
  }: {
    ports?: readonly number[];
    connections?: boolean;
  } = {}): Promise<void> {
    await this.#call('unserve', { ports, connections });
  }

  /** From now on its HTTP servers end each connection with the answer under way, as a server told to stop does. */
  async drain(): Promise<void> {
    await this.#call('drain', {});
  }

  /** TCP connections and requests that its servers have open now. */
  openConnections(): Promise<number> {
    return this.#call('openConnections', {}) as Promise<number>;
  }

  /** GET. @param address without brackets, or a whole `http://` URL and no port */
  http(address: string, port = 80, options: HttpOptions = {}): Promise<Probe> {
    if (!address.startsWith('http://')) return this.#probe('http', { address, port, ...options });
    const url = new URL(address);
    const path = url.pathname + url.search;
    const dial = { address: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port || 80), path };
    return this.#probe('http', { ...dial, ...options });
  }

  /** Connects, reads the server's greeting, closes. */
  tcp(address: string, port: number, options: DialOptions = {}): Promise<Probe> {
    return this.#probe('tcp', { address, port, ...options });
  }

  /** Sends one datagram from a new socket and waits for the answer. */
  udp(address: string, port: number, options: UdpOptions = {}): Promise<Probe> {
    return this.#probe('udp', { address, port, ...options });
  }

  /** Asks a DNS server with a real resolver (c-ares: a connected UDP socket). */
  resolve(options: ResolveOptions): Promise<Resolution> {
    return this.#call('resolve', options) as Promise<Resolution>;
  }

  /** What its DNS ports answer: name → addresses of either family. */
  async setZone(zone: Readonly<Record<string, readonly string[]>>): Promise<void> {
    await this.#call('setZone', { zone });
  }

  /** Opens a connection (TCP) or a socket (UDP) that stays. */
  async open(protocol: 'tcp' | 'udp', address: string, port: number, options: UdpOptions = {}): Promise<Conversation> {
    const { handle, probe } = (await this.#call('open', { protocol, address, port, ...options })) as {
      handle: number;
      probe: Probe;
    };
    return {
      opened: probe,
      exchange: (exchange = {}) => this.#probe('exchange', { handle, ...exchange }),
      reconnect: async (to, toPort) => {
        await this.#call('reconnect', { handle, address: to, port: toPort });
      },
      close: async () => {
        await this.#call('closeHandle', { handle });
      },
    };
  }

  /** Starts requests that go on until stopped or counted out. */
  async load(options: LoadOptions): Promise<Load> {
    const handle = await this.#call('load', { ...options });
    const report = (operation: string) => this.#call(operation, { handle }) as Promise<LoadReport>;
    return {
      report: () => report('loadReport'),
      stop: () => report('loadStop'),
      finished: () => report('loadFinished'),
    };
  }

  /** Ends the process at once; calls under way reject. A later call starts a new one. */
  async close(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }

  #probe(operation: string, args: object): Promise<Probe> {
    return this.#call(operation, args) as Promise<Probe>;
  }

  #call(operation: string, args: object): Promise<unknown> {
    const child = this.#running();
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { operation, resolve, reject });
      child.stdin?.write(`${JSON.stringify({ id, operation, args })}\n`);
    });
  }

  #running(): ChildProcess {
    if (this.#child !== undefined) return this.#child;
    const child = this.#start(process.execPath, [script]);
    this.#child = child;
    child.stdin?.on('error', () => {}); // reported by exit
    if (child.stdout !== null) createInterface({ input: child.stdout }).on('line', (line) => this.#answer(line));
    const gone = (reason: string) => {
      if (this.#child !== child) return;
      this.#child = undefined;
      for (const { operation, reject } of this.#waiting.values())
        reject(new Error(`${operation} by ${this.#name}: the actor ended: ${reason}`));
      this.#waiting.clear();
    };
    child.once('error', (error) => gone(error.message));
    child.once('exit', (code, signal) => gone(`${signal ?? `exit ${code}`}`));
    return child;
  }

  #answer(line: string): void {
    const { id, result, error } = JSON.parse(line) as { id: number; result?: unknown; error?: string };
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) waiting?.resolve(result);
    else waiting?.reject(new Error(`${waiting.operation} by ${this.#name}: ${error}`));
  }
}
