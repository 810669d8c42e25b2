/**
 * Raw requests to an API server over kept-alive connections. TLS and credentials come from the
 * kubeconfig for every request anew: tokens and certificates rotate. Of several servers one is asked until it is out
 * of reach; then the next is.
 */
import http from 'node:http';
import https from 'node:https';
import type { KubeConfig } from '@kubernetes/client-node';
import { parseRetryAfter } from './backoff.ts';
import { createCredentials } from './credentials.ts';

export interface ApiResponse {
  readonly status: number;
  /** From Retry-After, in ms. */
  readonly retryAfterMs: number | undefined;
  readonly body: http.IncomingMessage;
}

export interface GetOptions {
  readonly signal: AbortSignal;
  /** The connection is cut when it carries no byte for so long, in ms; also while it is being made. */
  readonly inactivityMs: number;
  /** The same when there are no headers of a response for so long. Default: inactivityMs. */
  readonly headersMs?: number;
}

export interface ApiClient {
  /** URL of the server that is asked now, for messages. */
  readonly server: string;
  /**
   * Resolves at the response's headers, whatever the status. Rejects when there is no connection
   * and when the signal aborts. Cut later, the body ends with an error.
   */
  get(path: string, query: Readonly<Record<string, string>>, options: GetOptions): Promise<ApiResponse>;
  /** The same with an object to create. */
  post(path: string, body: unknown, options: GetOptions): Promise<ApiResponse>;
  /** Bytes of a body arrived. */
  heard(): void;
  /** performance.now() of the last word from a server: headers, or what `heard` was told of. 0: none yet. */
  readonly lastHeard: number;
  /** The token of a file as it is now, where there is one: another one may be accepted where this one was not. */
  fileToken(): string | undefined;
  /** Cuts every connection: bodies end with an error. */
  cut(reason: string): void;
  /** Closes idle connections. */
  close(): void;
}

export interface ApiClientOptions {
  /** URLs in place of the kubeconfig's, in the order in which they are tried. */
  readonly servers?: readonly string[] | undefined;
  /** Called when another server than the last one has answered. */
  readonly answered?: (server: string) => void;
}

const KEEP_ALIVE_MS = 30_000;
const USER_AGENT = 'sluice';

export function createApiClient(kubeConfig: KubeConfig, options: ApiClientOptions = {}): ApiClient {
  const cluster = kubeConfig.getCurrentCluster();
  const servers = options.servers?.length ? options.servers : [cluster?.server ?? ''];
  const credentials = createCredentials(kubeConfig);
  const secure = new URL(servers[0] ?? '').protocol === 'https:';
  const agentOptions = { keepAlive: true, keepAliveMsecs: KEEP_ALIVE_MS };
  const agent = secure ? new https.Agent(agentOptions) : new http.Agent(agentOptions);
  /** Requests whose response has not ended. */
  const open = new Set<http.ClientRequest>();
  let current = 0;
  let lastAnswered: string | undefined;
  let lastHeard = 0;

  const serverAt = (turn: number) => servers[turn % servers.length] ?? '';

  /** The server of a turn is out of reach: the next one, unless somebody has gone on already. */
  function goOn(turn: number): void {
    if (turn === current) current++;
  }

  function heardFrom(server: string): void {
    lastHeard = performance.now();
    if (server !== lastAnswered) options.answered?.(server);
    lastAnswered = server;
  }

  async function requestOptions(
    base: URL,
    method: 'GET' | 'POST',
    path: string,
    query: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<https.RequestOptions> {
    const shown = await credentials.get(signal);
    const headers: http.OutgoingHttpHeaders = {
      ...(shown.headers as http.OutgoingHttpHeaders),
      accept: 'application/json',
      'user-agent': USER_AGENT,
    };
    // A token may end with a newline, which no header may contain.
    if (typeof headers.Authorization === 'string') headers.Authorization = headers.Authorization.trim();
    const search = new URLSearchParams(query).toString();
    return {
      ...shown,
      // A proxy needs the agent that knows it; it is made anew for each request.
      agent: cluster?.proxyUrl ? shown.agent : agent,
      method,
      protocol: base.protocol,
      hostname: base.hostname.replace(/^\[|\]$/g, ''),
      port: base.port || (secure ? 443 : 80),
      path: `${base.pathname.replace(/\/+$/, '')}${path}${search === '' ? '' : `?${search}`}`,
      headers,
    };
  }

  function send(
    options: https.RequestOptions,
    body: string | undefined,
    { signal, inactivityMs, headersMs = inactivityMs }: GetOptions,
  ): Promise<ApiResponse> {
    if (signal.aborted) throw new Error('aborted');
    return new Promise<ApiResponse>((resolve, reject) => {
      const request = (secure ? https : http).request({ ...options, timeout: inactivityMs }, (response) => {
        clearTimeout(late);
        // Without a listener an error after the body was given up would end the process.
        response.on('error', () => {});
        resolve({
          status: response.statusCode ?? 0,
          retryAfterMs: parseRetryAfter(response.headers['retry-after']),
          body: response,
        });
      });
      const late = setTimeout(() => request.destroy(new Error(`no answer for ${headersMs} ms`)), headersMs);
      const abort = () => request.destroy(new Error('aborted'));
      signal.addEventListener('abort', abort);
      open.add(request);
      request.on('close', () => {
        clearTimeout(late);
        open.delete(request);
        signal.removeEventListener('abort', abort);
      });
      request.on('timeout', () => request.destroy(new Error(`no data for ${inactivityMs} ms`)));
      request.on('error', reject);
      request.end(body);
    });
  }

  async function ask(
    method: 'GET' | 'POST',
    path: string,
    query: Readonly<Record<string, string>>,
    body: string | undefined,
    options: GetOptions,
  ): Promise<ApiResponse> {
    const turn = current;
    const server = serverAt(turn);
    const wanted = await requestOptions(new URL(server), method, path, query, options.signal);
    if (body !== undefined) (wanted.headers as http.OutgoingHttpHeaders)['content-type'] = 'application/json';
    try {
      const response = await send(wanted, body, options);
      heardFrom(server);
      // One that is starting or ending says so; others may serve.
      if (response.status >= 500) goOn(turn);
      return response;
    } catch (error) {
      goOn(turn);
      throw error;
    }
  }

  /** What the server refuses may have been replaced meanwhile: once more with what can be had now. */
  async function askAgain(...request: Parameters<typeof ask>): Promise<ApiResponse> {
    const token = credentials.fileToken();
    const response = await ask(...request);
    if (response.status !== 401) return response;
    credentials.refused();
    if (credentials.fileToken() === token) return response;
    response.body.resume();
    return ask(...request);
  }

  return {
    get server() {
      return serverAt(current);
    },
    get: (path, query, options) => askAgain('GET', path, query, undefined, options),
    post: (path, body, options) => askAgain('POST', path, {}, JSON.stringify(body), options),
    heard() {
      lastHeard = performance.now();
    },
    get lastHeard() {
      return lastHeard;
    },
    fileToken: credentials.fileToken,
    cut(reason) {
      for (const request of open) request.destroy(new Error(reason));
    },
    close() {
      agent.destroy();
    },
  };
}
