/**
 * The servers on healthCheckNodePort of load balancers with externalTrafficPolicy: Local: they tell
 * the balancer in front how many endpoints of the Service are on this node (R-75…R-78).
 */
import type { RequestListener, Server } from 'node:http';
import { type Address, type Family, familyOf } from '../model/address.ts';
import { closeServer, openServer } from './listen.ts';

/** A Service that wants a health check server. */
export interface ServiceHealthCheck {
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
  /** Distinct addresses of ready endpoints on this node. */
  readonly localEndpoints: number;
  /** The same for each family: an IPv4 address answers for IPv4 alone, an IPv6 one for IPv6. */
  readonly localEndpointsByFamily?: Readonly<Partial<Record<Family, number>>>;
}

export interface HealthCheckServersOptions {
  /** Is what the API says in force? */
  readonly healthy: () => boolean;
  /** The port cannot be had: told once until it can (event FailedToStartServiceHealthcheck, R-78). */
  readonly onFailed: (service: Pick<ServiceHealthCheck, 'namespace' | 'name' | 'port'>, message: string) => void;
}

export interface HealthCheckServers {
  /**
   * Opens, closes and updates servers so that just these run, each on all of the addresses. What
   * did not change stays open. Servers that could not be opened are tried again with each call.
   *
   * @param addresses 0.0.0.0 and :: stand for all of their family
   */
  sync(services: readonly ServiceHealthCheck[], addresses: readonly Address[]): Promise<void>;
  /** Closes all servers. */
  close(): Promise<void>;
}

interface Listener {
  /** Read by the handler at each request. */
  service: ServiceHealthCheck;
  readonly server: Server;
}

export function createHealthCheckServers({ healthy, onFailed }: HealthCheckServersOptions): HealthCheckServers {
  const listeners = new Map<string, Listener>();
  const failed = new Set<string>();
  let running = Promise.resolve();

  const open = async (key: string, service: ServiceHealthCheck, address: Address): Promise<void> => {
    const handler: RequestListener = (request, response) => {
      const current = listeners.get(key)?.service ?? service;
      answer(current, familyOf(address), healthy(), response, request.method === 'HEAD');
    };
    const server = await openServer(
      { name: `health checks of ${nameOf(service)}`, address, port: service.port, handler },
      false,
    );
    listeners.set(key, { service, server });
  };

  const sync = async (services: readonly ServiceHealthCheck[], addresses: readonly Address[]): Promise<void> => {
    const wanted = new Map<string, { service: ServiceHealthCheck; address: Address }>(
      services.flatMap((service) =>
        addresses.map((address) => [`${nameOf(service)} ${service.port} ${address}`, { service, address }] as const),
      ),
    );
    const gone = [...listeners].filter(([key]) => !wanted.has(key));
    for (const [key] of gone) listeners.delete(key);
    await Promise.all(gone.map(([, { server }]) => closeServer(server)));
    for (const key of failed) if (!wanted.has(key)) failed.delete(key);
    for (const [key, { service, address }] of wanted) {
      const listener = listeners.get(key);
      if (listener !== undefined) {
        listener.service = service;
        continue;
      }
      try {
        await open(key, service, address);
        failed.delete(key);
      } catch (error) {
        if (failed.has(key) || isMissingFamily(error as Error, address)) continue;
        failed.add(key);
        onFailed(service, (error as Error).message);
      }
    }
  };

  /** One call after another, in their order. */
  const queue = (work: () => Promise<void>): Promise<void> => {
    running = running.then(work, work);
    return running;
  };
  return {
    sync: (services, addresses) => queue(() => sync(services, addresses)),
    close: () => queue(() => sync([], [])),
  };
}

/** A kernel without IPv6 has no :: to listen on, and nobody asks there. */
function isMissingFamily(error: Error, address: Address): boolean {
  const code = (error.cause as NodeJS.ErrnoException | undefined)?.code ?? '';
  return address === '::' && ['EAFNOSUPPORT', 'EADDRNOTAVAIL'].includes(code);
}

function nameOf({ namespace, name }: ServiceHealthCheck): string {
  return `${namespace}/${name}`;
}

/** Headers and body to the letter of kube-proxy's, on any path. */
function answer(
  service: ServiceHealthCheck,
  family: Family,
  serviceProxyHealthy: boolean,
  response: Parameters<RequestListener>[1],
  isHead: boolean,
): void {
  const { namespace, name } = service;
  const byFamily = service.localEndpointsByFamily;
  const localEndpoints = byFamily === undefined ? service.localEndpoints : (byFamily[family] ?? 0);
  const body = JSON.stringify({ service: { namespace, name }, localEndpoints, serviceProxyHealthy }, null, '\t');
  response.writeHead(localEndpoints > 0 && serviceProxyHealthy ? 200 : 503, {
    'Content-Type': 'application/json',
    'X-Content-Type-Options': 'nosniff',
    'X-Load-Balancing-Endpoint-Weight': String(localEndpoints),
    'Content-Length': Buffer.byteLength(body),
  });
  response.end(isHead ? undefined : body);
}
