/** The little of the Kubernetes API that the lab's own controllers need: apply, delete, status, list and watch. */

import type { IncomingMessage } from 'node:http';
import { Agent, type RequestOptions, request } from 'node:https';
import { createInterface } from 'node:readline';
import type { KubernetesObject } from '../../../src/model/kubernetes.ts';

export interface KubeClientOptions {
  /** `https://127.0.0.1:6443` */
  readonly server: string;
  /** PEM of the certificate authority. */
  readonly ca: string;
  readonly token?: string;
  readonly cert?: string;
  readonly key?: string;
}

export interface WatchEvent<T> {
  readonly type: 'set' | 'delete';
  readonly object: T;
}

/** Where each kind lives: API group path, plural, and whether it is in a namespace. */
const RESOURCES: Record<string, { readonly group: string; readonly plural: string; readonly cluster?: true }> = {
  Service: { group: 'api/v1', plural: 'services' },
  Node: { group: 'api/v1', plural: 'nodes', cluster: true },
  Namespace: { group: 'api/v1', plural: 'namespaces', cluster: true },
  EndpointSlice: { group: 'apis/discovery.k8s.io/v1', plural: 'endpointslices' },
};

export class KubeError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = 'KubeError';
    this.status = status;
  }
}

export class KubeClient {
  readonly #options: RequestOptions;
  readonly #agent: Agent;

  constructor({ server, ca, token, cert, key }: KubeClientOptions) {
    const url = new URL(server);
    this.#agent = new Agent({ keepAlive: true, maxSockets: 32 });
    const headers = {
      accept: 'application/json',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    };
    const host = url.hostname.replace(/^\[|\]$/g, '');
    this.#options = { host, port: url.port || 443, ca, cert, key, headers, agent: this.#agent };
  }

  /** Creates the object, or replaces what has its name. @returns what the server made of it */
  async apply<T extends KubernetesObject>(object: T): Promise<T> {
    try {
      return await this.#json<T>('POST', this.#collection(object), object);
    } catch (error) {
      if (!(error instanceof KubeError) || error.status !== 409) throw error;
    }
    const current = await this.#json<T>('GET', this.#path(object));
    const resourceVersion = current.metadata?.resourceVersion;
    return this.#json<T>('PUT', this.#path(object), merge(current, object, resourceVersion));
  }

  /** Replaces the status subresource. */
  putStatus<T extends KubernetesObject>(object: T): Promise<T> {
    return this.#json<T>('PUT', `${this.#path(object)}/status`, object);
  }

  /** Deletes the object; absent is fine. */
  async delete(object: KubernetesObject): Promise<void> {
    try {
      await this.#json('DELETE', this.#path(object));
    } catch (error) {
      if (!(error instanceof KubeError) || error.status !== 404) throw error;
    }
  }

  /** @throws KubeError 404 */
  get<T extends KubernetesObject>(object: T): Promise<T> {
    return this.#json<T>('GET', this.#path(object));
  }

  /** All of one kind, in every namespace. */
  async list<T extends KubernetesObject>(kind: string): Promise<{ items: T[]; resourceVersion: string }> {
    const { group, plural } = resourceOf(kind);
    const body = await this.#json<{ items: T[]; metadata: { resourceVersion: string } }>('GET', `/${group}/${plural}`);
    return { items: body.items, resourceVersion: body.metadata.resourceVersion };
  }

  /** Lists, then calls for each change until the signal aborts. @throws Error when the server ends the watch early */
  async watch<T extends KubernetesObject>(
    kind: string,
    onEvent: (event: WatchEvent<T>) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const { items, resourceVersion } = await this.list<T>(kind);
    for (const object of items) onEvent({ type: 'set', object });
    const { group, plural } = resourceOf(kind);
    const response = await this.#send(
      'GET',
      `/${group}/${plural}?watch=1&resourceVersion=${resourceVersion}`,
      undefined,
      signal,
    );
    for await (const line of createInterface({ input: response })) {
      const { type, object } = JSON.parse(line) as { type: string; object: T };
      if (type === 'ERROR') throw new Error(`watch ${plural}: ${JSON.stringify(object)}`);
      if (type !== 'BOOKMARK') onEvent({ type: type === 'DELETED' ? 'delete' : 'set', object });
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  #collection(object: KubernetesObject): string {
    const { group, plural, cluster } = resourceOf(object.kind ?? '');
    return cluster
      ? `/${group}/${plural}`
      : `/${group}/namespaces/${object.metadata?.namespace ?? 'default'}/${plural}`;
  }

  #path(object: KubernetesObject): string {
    return `${this.#collection(object)}/${object.metadata?.name}`;
  }

  async #json<T>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await this.#send(method, path, body);
    let text = '';
    for await (const chunk of response.setEncoding('utf8')) text += chunk;
    return JSON.parse(text) as T;
  }

  /** One request, and another when the server had just closed the idle connection that it was sent on. */
  #ask(what: RequestOptions, body: string | undefined): Promise<IncomingMessage> {
    const headers = { ...this.#options.headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) };
    return new Promise((resolve, reject) => {
      const outgoing = request({ ...this.#options, ...what, headers }, resolve);
      outgoing.on('error', (error: NodeJS.ErrnoException) => {
        if (outgoing.reusedSocket && error.code === 'ECONNRESET') resolve(this.#ask(what, body));
        else reject(error);
      });
      outgoing.end(body);
    });
  }

  /** @throws KubeError for a status of 400 and up */
  async #send(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<IncomingMessage> {
    const response = await this.#ask({ method, path, signal }, body === undefined ? undefined : JSON.stringify(body));
    const status = response.statusCode ?? 0;
    if (status < 400) return response;
    let text = '';
    for await (const chunk of response.setEncoding('utf8')) text += chunk;
    throw new KubeError(status, `${method} ${path}: ${status} ${text.trim()}`);
  }
}

function resourceOf(kind: string) {
  const resource = RESOURCES[kind];
  if (resource === undefined)
    throw new Error(`find the API of kind "${kind}": the lab knows ${Object.keys(RESOURCES).join(', ')}`);
  return resource;
}

/** The new object with what the server allocated for the old one: cluster addresses and NodePorts must not change. */
function merge<T extends KubernetesObject>(current: T, next: T, resourceVersion: string | undefined): T {
  const spec = { ...(current as { spec?: object }).spec, ...(next as { spec?: object }).spec };
  const merged = { ...current, ...next, metadata: { ...current.metadata, ...next.metadata, resourceVersion } };
  return next.kind === 'Service' ? { ...merged, spec } : merged;
}
