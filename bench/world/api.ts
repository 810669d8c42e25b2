/** The benchmark's hand on the API server's process. */
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Lab } from '../../test/support/lab/lab.ts';
import { nodeObject } from '../../test/support/lab/nodes.ts';
import type { ModelEndpoint, ModelPort, ModelService } from '../rules/model.ts';

export type ApiRequest =
  | {
      readonly op: 'set';
      readonly size: number;
      readonly ports: readonly ModelPort[];
      readonly endpoints: readonly ModelEndpoint[];
      readonly extra?: readonly ModelService[];
      /** Only Services that nobody dials, with so many endpoints each. */
      readonly fillerEndpoints?: number;
    }
  | { readonly op: 'apply'; readonly objects: readonly object[] }
  | { readonly op: 'churn'; readonly perSecond: number; readonly size: number; readonly endpoints: number }
  | { readonly op: 'calm' }
  | { readonly op: 'last-byte' }
  | { readonly op: 'close' };

const script = fileURLToPath(new URL('./api-process.ts', import.meta.url));
const tsx = import.meta.resolve('tsx');
const PORT = 6443;

export class BenchApi {
  readonly kubeconfig: string;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve(value: object): void; reject(error: Error): void }>();
  readonly ready: Promise<object>;
  #next = 1;

  /** Use startBenchApi. */
  constructor(lab: Lab) {
    this.kubeconfig = join(lab.directory, 'kubeconfig');
    const command = [process.execPath, '--import', tsx, script, '172.30.0.254', String(PORT), this.kubeconfig];
    this.#child = lab.net.spawn(command, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.ready = new Promise((resolve, reject) => this.#waiting.set(0, { resolve, reject }));
    this.#child.on('message', (message: { id: number; value?: object; error?: string }) => {
      const waiting = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      if (message.error !== undefined) waiting?.reject(new Error(`API server: ${message.error}`));
      else waiting?.resolve(message.value ?? {});
    });
    this.#child.on('exit', (code) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`API server: exit ${code}`));
    });
  }

  async ask<T extends object = object>(request: ApiRequest): Promise<T> {
    const id = this.#next++;
    const answer = new Promise<object>((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    this.#child.send({ id, request });
    return (await answer) as T;
  }

  /** Writes objects. @returns nanoseconds of CLOCK_MONOTONIC just before */
  async apply(objects: readonly object[]): Promise<bigint> {
    return BigInt((await this.ask<{ at: string }>({ op: 'apply', objects })).at);
  }

  async close(): Promise<void> {
    if (this.#child.connected) await this.ask({ op: 'close' }).catch(() => {});
  }
}

/** Starts the server at the router's address, with the lab's nodes as Node objects. */
export async function startBenchApi(lab: Lab): Promise<BenchApi> {
  const api = new BenchApi(lab);
  await api.ready;
  await api.apply(lab.nodes.map((node) => nodeObject(node)));
  return api;
}
