/** A client and servers on loopback. */
import { Agent, type IncomingHttpHeaders, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { type ListenOptions, serveHttp } from '../../../src/serve/listen.ts';

export interface Answer {
  readonly code: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export function get(
  port: number,
  path = '/',
  { host = '127.0.0.1', method = 'GET', agent }: { host?: string; method?: string; agent?: Agent } = {},
): Promise<Answer> {
  return new Promise((done, fail) => {
    const call = request({ host, port, path, method, agent: agent ?? new Agent({ keepAlive: false }) }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => {
        body += part;
      });
      response.on('end', () => done({ code: response.statusCode ?? 0, headers: response.headers, body }));
    });
    call.on('error', fail);
    call.end();
  });
}

/** Starts a server on a free port of 127.0.0.1. */
export async function start(handler: ListenOptions['handler'], options: Partial<ListenOptions> = {}) {
  const stop = new AbortController();
  let ended: Promise<void> = Promise.resolve();
  const at = await new Promise<AddressInfo>((listening, fail) => {
    ended = serveHttp({
      name: 'test',
      address: '127.0.0.1',
      port: 0,
      handler,
      signal: stop.signal,
      onListening: listening,
      ...options,
    });
    ended.catch(fail);
  });
  return {
    port: at.port,
    at,
    stop: () => {
      stop.abort();
      return ended;
    },
  };
}

/** Takes a free port of 127.0.0.1 until it is released. */
export async function takePort(): Promise<{ port: number; release: () => Promise<void> }> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  return { port, release: () => new Promise((done) => server.close(() => done())) };
}
