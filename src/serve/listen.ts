/** An HTTP server that waits for its address, serves until the signal aborts, and then ends at once. */
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { delay } from '../model/delay.ts';
import { SluiceError } from '../model/errors.ts';

export interface ListenOptions {
  /** What the server is, for errors: `healthz`. */
  readonly name: string;
  readonly address: string;
  /** 0: any free port. */
  readonly port: number;
  readonly handler: RequestListener;
  readonly signal: AbortSignal;
  /** An address that is taken ends the server instead of being tried again (bindAddressHardFail). */
  readonly hardFail?: boolean;
  /** Milliseconds before an address that is taken is tried again. Default 5000, as kube-proxy. */
  readonly retry?: number;
  readonly onListening?: (at: AddressInfo) => void;
  /** Told once for each spell of failures. */
  readonly onProblem?: (message: string) => void;
}

/** Milliseconds that requests under way have to end. */
const GRACE = 500;

/**
 * @returns when the signal has aborted and every connection is closed.
 * @throws SluiceError LISTEN_FAILED, with hardFail only.
 */
export async function serveHttp(options: ListenOptions): Promise<void> {
  const { signal } = options;
  let told = false;
  while (!signal.aborted) {
    try {
      await serveOnce(options, () => {
        told = false;
      });
    } catch (cause) {
      if (signal.aborted) return;
      if (options.hardFail) throw cause;
      if (!told) options.onProblem?.((cause as Error).message);
      told = true;
      await delay(options.retry ?? 5000, signal);
    }
  }
}

async function serveOnce(options: ListenOptions, onStarted: () => void): Promise<void> {
  const server = await openServer(options);
  onStarted();
  options.onListening?.(server.address() as AddressInfo);
  await new Promise<void>((done) => {
    if (options.signal.aborted) done();
    else options.signal.addEventListener('abort', () => done(), { once: true });
  });
  await closeServer(server);
}

/**
 * As kube-proxy does, 0.0.0.0 stands for every address of both families when `bothFamilies`.
 *
 * @throws SluiceError LISTEN_FAILED that names the address; its cause has the errno.
 */
export async function openServer(
  { name, address, port, handler }: Pick<ListenOptions, 'name' | 'address' | 'port' | 'handler'>,
  bothFamilies = true,
): Promise<Server> {
  const isWildcard = address === '0.0.0.0' || address === '::';
  try {
    if (isWildcard && bothFamilies) {
      return await bind(handler, '::', port, false).catch((error: NodeJS.ErrnoException) => {
        const noIPv6 = error.code === 'EAFNOSUPPORT' || error.code === 'EADDRNOTAVAIL';
        return noIPv6 ? bind(handler, '0.0.0.0', port, false) : Promise.reject(error);
      });
    }
    return await bind(handler, address, port, true);
  } catch (cause) {
    const where = address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
    const { code, message } = cause as NodeJS.ErrnoException;
    const advice = code === 'EADDRINUSE' ? 'another process has the port; stop it or choose another' : message;
    throw new SluiceError('LISTEN_FAILED', `listen for ${name} on ${where}: ${advice}`, { cause });
  }
}

function bind(handler: RequestListener, host: string, port: number, ipv6Only: boolean): Promise<Server> {
  const server = createServer({ keepAliveTimeout: 5000, requestTimeout: 10_000 }, handler);
  return new Promise((done, fail) => {
    server.once('error', fail);
    server.listen({ host, port, ipv6Only }, () => {
      server.off('error', fail);
      // An accept that fails (no file descriptors left) must not end the process.
      server.on('error', () => {});
      done(server);
    });
  });
}

/** Closes idle connections at once (as close() does since Node 19), busy ones after a grace time. */
export function closeServer(server: Server): Promise<void> {
  return new Promise((done) => {
    const force = setTimeout(() => server.closeAllConnections(), GRACE);
    server.close(() => {
      clearTimeout(force);
      done();
    });
  });
}
