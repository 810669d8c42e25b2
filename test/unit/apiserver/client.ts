/** Requests to the server as any client makes them. */
import { request } from 'node:https';
import { onTestFinished } from 'vitest';
import { type ApiServer, type ApiServerOptions, startApiServer } from '../../support/apiserver/server.ts';

export interface Answer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  // biome-ignore lint/suspicious/noExplicitAny: any JSON
  readonly body: any;
}

export interface Ask {
  readonly body?: unknown;
  readonly type?: string;
  readonly user?: string;
  readonly accept?: string;
  readonly token?: string;
}

export type Client = (method: string, path: string, ask?: Ask) => Promise<Answer>;

/** The server is closed at the end of the test. */
export async function startClient(options: ApiServerOptions = {}): Promise<{ server: ApiServer; call: Client }> {
  const server = await startApiServer(options);
  onTestFinished(() => server.close());
  const call: Client = (method, path, ask = {}) =>
    new Promise((resolve, reject) => {
      const headers: Record<string, string> = {
        authorization: `Bearer ${ask.token ?? server.token(ask.user)}`,
        ...(ask.accept ? { accept: ask.accept } : {}),
        ...(ask.body === undefined ? {} : { 'content-type': ask.type ?? 'application/json' }),
      };
      const outgoing = request(`${server.url}${path}`, { method, ca: server.ca, headers, agent: false }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk) => chunks.push(chunk));
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          const lines = text.trim().split('\n');
          const body =
            lines.length > 1 || path.includes('watch=')
              ? lines.filter(Boolean).map((line) => JSON.parse(line))
              : JSON.parse(text);
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body });
        });
      });
      outgoing.on('error', reject);
      outgoing.end(ask.body === undefined ? undefined : JSON.stringify(ask.body));
    });
  return { server, call };
}

export const SERVICES = '/api/v1/namespaces/default/services';

export const service = (name: string, spec: object = {}, labels: object = {}) => ({
  metadata: { name, labels },
  spec: { ports: [{ port: 80 }], ...spec },
});
