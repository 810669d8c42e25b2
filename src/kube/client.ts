/**
 * Raw requests to an API server over kept-alive connections. TLS and credentials come from the
 * kubeconfig for every request anew: tokens and certificates rotate.
 */
import http from 'node:http';
import https from 'node:https';
import type { KubeConfig } from '@kubernetes/client-node';
import { parseRetryAfter } from './backoff.ts';

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
}

export interface ApiClient {
  /** The server's URL, for messages. */
  readonly server: string;
  /**
   * Resolves at the response's headers, whatever the status. Rejects when there is no connection
   * and when the signal aborts. Cut later, the body ends with an error.
   */
  get(path: string, query: Readonly<Record<string, string>>, options: GetOptions): Promise<ApiResponse>;
  /** The same with an object to create. */
  post(path: string, body: unknown, options: GetOptions): Promise<ApiResponse>;
  /** Closes idle connections. */
  close(): void;
}

const KEEP_ALIVE_MS = 30_000;
const USER_AGENT = 'sluice';

export function createApiClient(kubeConfig: KubeConfig): ApiClient {
  const cluster = kubeConfig.getCurrentCluster();
  const server = cluster?.server ?? '';
  const base = new URL(server);
  const secure = base.protocol === 'https:';
  const agentOptions = { keepAlive: true, keepAliveMsecs: KEEP_ALIVE_MS };
  const agent = secure ? new https.Agent(agentOptions) : new http.Agent(agentOptions);
  const prefix = base.pathname.replace(/\/+$/, '');

  async function requestOptions(
    method: 'GET' | 'POST',
    path: string,
    query: Readonly<Record<string, string>>,
  ): Promise<https.RequestOptions> {
    const options: https.RequestOptions = { headers: {} };
    await kubeConfig.applyToHTTPSOptions(options);
    const credentials = options.headers as http.OutgoingHttpHeaders;
    const headers: http.OutgoingHttpHeaders = { ...credentials, accept: 'application/json', 'user-agent': USER_AGENT };
    // A token file may end with a newline, which no header may contain.
    if (typeof headers.Authorization === 'string') headers.Authorization = headers.Authorization.trim();
    const search = new URLSearchParams(query).toString();
    return {
      ...options,
      // A proxy needs the agent that knows it; it is made anew for each request.
      agent: cluster?.proxyUrl ? options.agent : agent,
      method,
      protocol: base.protocol,
      hostname: base.hostname.replace(/^\[|\]$/g, ''),
      port: base.port || (secure ? 443 : 80),
      path: `${prefix}${path}${search === '' ? '' : `?${search}`}`,
      headers,
    };
  }

  function send(
    options: https.RequestOptions,
    body: string | undefined,
    { signal, inactivityMs }: GetOptions,
  ): Promise<ApiResponse> {
    if (signal.aborted) throw new Error('aborted');
    return new Promise<ApiResponse>((resolve, reject) => {
      const request = (secure ? https : http).request({ ...options, timeout: inactivityMs }, (response) => {
        // Without a listener an error after the body was given up would end the process.
        response.on('error', () => {});
        resolve({
          status: response.statusCode ?? 0,
          retryAfterMs: parseRetryAfter(response.headers['retry-after']),
          body: response,
        });
      });
      const abort = () => request.destroy(new Error('aborted'));
      signal.addEventListener('abort', abort);
      request.on('close', () => signal.removeEventListener('abort', abort));
      request.on('timeout', () => request.destroy(new Error(`no data for ${inactivityMs} ms`)));
      request.on('error', reject);
      request.end(body);
    });
  }

  return {
    server,
    async get(path, query, options) {
      return await send(await requestOptions('GET', path, query), undefined, options);
    },
    async post(path, body, options) {
      const { headers, ...rest } = await requestOptions('POST', path, {});
      const withType = { ...(headers as http.OutgoingHttpHeaders), 'content-type': 'application/json' };
      return await send({ ...rest, headers: withType }, JSON.stringify(body), options);
    },
    close() {
      agent.destroy();
    },
  };
}
