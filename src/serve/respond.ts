/** Small HTTP answers. */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';

/** Answers and ends the response; no sniffing of types, as kube-proxy's servers forbid it. */
export function respond(response: ServerResponse, code: number, type: string, body: string): void {
  response.writeHead(code, {
    'Content-Type': type,
    'X-Content-Type-Options': 'nosniff',
    'Content-Length': Buffer.byteLength(body),
  });
  response.end(body);
}

export type Route = (response: ServerResponse) => void | Promise<void>;

/** Serves exact paths, whatever the query, and 404 for others; a route that fails answers 500. */
export function routes(table: Readonly<Record<string, Route>>): RequestListener {
  const paths = new Map(Object.entries(table));
  return (request: IncomingMessage, response: ServerResponse) => {
    const path = (request.url ?? '/').split('?', 1)[0] ?? '/';
    const route = paths.get(path);
    if (route === undefined) {
      respond(response, 404, 'text/plain; charset=utf-8', '404 page not found\n');
      return;
    }
    Promise.resolve()
      .then(() => route(response))
      .catch((error: Error) => {
        if (response.headersSent) response.destroy();
        else respond(response, 500, 'text/plain; charset=utf-8', `${error.message}\n`);
      });
  };
}
