/** Rows of `sluice flow list --sockets`: sockets that the socket hook pointed at a backend. */

import { encode } from '../../../maps-schema/codec.ts';
import { sockFlow, sockKey } from '../../../maps-schema/gen/codecs.ts';
import type { KernelHash } from '../../bpf/kernel-map.ts';
import { compareBy, endpoint, protocolName } from '../format.ts';
import { type FlowContext, type FlowFilter, secondsSince } from './flows.ts';
import { nameOf, type ServicePortName } from './names.ts';

export interface SocketMaps {
  readonly sockPeers: Pick<KernelHash, 'entries'>;
  readonly sockFlows: Pick<KernelHash, 'lookup'>;
}

export interface SocketRow extends ServicePortName {
  readonly protocol: string;
  /** Socket cookie in hexadecimal, as `ss -e` prints it behind `sk:`. */
  readonly cookie: string;
  /** address:port, as is the next. */
  readonly frontend: string;
  readonly backend: string;
  /** Since the last datagram; for TCP since connect(). */
  readonly idleSeconds?: number;
  readonly servicePortId: number;
  readonly backendId: number;
}

/** Each entry of sock_peers is one socket and backend; for UDP sock_flows says when it was last used. */
export function* readSockets(maps: SocketMaps, filter: FlowFilter, context: FlowContext): Generator<SocketRow> {
  for (const row of maps.sockPeers.entries()) {
    const key = sockKey.read(row.key, 0);
    const peer = sockFlow.read(row.value, 0);
    const backend = endpoint(key.address, key.port);
    if (filter.servicePortIds !== undefined && !filter.servicePortIds.has(peer.servicePortId)) continue;
    if (filter.backend !== undefined && filter.backend !== key.address && filter.backend !== backend) continue;
    const forward = maps.sockFlows.lookup(
      encode(sockKey, { cookie: key.cookie, address: peer.address, port: peer.port, proto: key.proto }),
    );
    const lastSeen = forward === undefined ? peer.lastSeen : sockFlow.read(forward, 0).lastSeen;
    yield {
      ...nameOf(context.names, peer.servicePortId),
      protocol: protocolName(key.proto),
      cookie: key.cookie.toString(16),
      frontend: endpoint(peer.address, peer.port),
      backend,
      ...(context.clock !== undefined && { idleSeconds: secondsSince(lastSeen, context.clock) }),
      servicePortId: peer.servicePortId,
      backendId: peer.backendId,
    };
  }
}

/** By Service, frontend and socket. */
export const compareSockets = compareBy<SocketRow>(
  (row) => row.namespace,
  (row) => row.name,
  (row) => row.port,
  (row) => row.protocol,
  (row) => row.frontend,
  (row) => row.cookie.padStart(16, '0'),
  (row) => row.backend,
);
