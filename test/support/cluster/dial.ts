/** Requests through a Service port, by each protocol a Service carries. */
import type { Host } from '../lab/host.ts';
import type { Probe } from '../traffic/protocol.ts';
import { nodePortOf, SERVICE_PORTS } from './objects.ts';

/** `udp`: connect() and send(); `sendto`: a UDP socket that is not connected. */
export type Protocol = 'http' | 'udp' | 'sendto';
export const PROTOCOLS: readonly Protocol[] = ['http', 'udp', 'sendto'];

/** Above what agents listen on, below the NodePorts; every dial of a run has its own. */
const LOCAL_PORTS = { first: 10_300, last: 29_999 };
let nextLocalPort = LOCAL_PORTS.first;

/**
 * One request to a frontend, from a source port that no request before it had: what is asked is how a new
 * connection is treated, not one that follows another between the same ends.
 */
export function dial(
  from: Host,
  protocol: Protocol,
  address: string,
  port: number,
  timeoutMs?: number,
): Promise<Probe> {
  const localPort = nextLocalPort;
  nextLocalPort = localPort === LOCAL_PORTS.last ? LOCAL_PORTS.first : localPort + 1;
  const options = { localPort, ...(timeoutMs === undefined ? {} : { timeoutMs }) };
  if (protocol === 'http') return from.actor.http(address, port, options);
  return from.actor.udp(address, port, { ...options, connected: protocol === 'udp' });
}

/** The port that clients dial: that of the nth Service's NodePort, or of its other addresses. */
export function portOf(protocol: Protocol, nodePort: boolean, n: number): number {
  if (nodePort) return nodePortOf(n);
  return protocol === 'http' ? SERVICE_PORTS.http : SERVICE_PORTS.udp;
}
