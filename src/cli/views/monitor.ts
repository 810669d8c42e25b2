/** Rows of `sluice monitor`: an event of the data path, with the names of what took part. */
import { type Codec, encode } from '../../../maps-schema/codec.ts';
import {
  FLOW_REPLY,
  FLOW_STAGED,
  type Flow,
  type FlowKey,
  flow,
  flowKey,
  frontend,
  frontendKey,
  MONITOR_EVICTED,
  MONITOR_EVICTED_HALF_OPEN,
  MONITOR_SOCKET,
  type MonitorEvent,
  REASON_NEW_FLOW,
  reasons,
  servicePort,
  servicePortKey,
} from '../../../maps-schema/gen/codecs.ts';
import type { KernelHash } from '../../bpf/kernel-map.ts';
import type { Maps } from '../../bpf/open-maps.ts';
import { type Address, familyOf } from '../../model/address.ts';
import { isFailure } from '../explain/advice.ts';
import { endpoint, protocolName } from '../format.ts';
import { meaningOf } from './counters.ts';
import type { ServicePortName } from './names.ts';

export type MonitorMaps = Pick<Maps, 'flows' | 'halfOpenFlows' | 'frontends' | 'servicePorts'>;

export type MonitorKind = 'new' | 'refused' | 'dropped' | 'evicted' | 'told';

export interface MonitorRow extends ServicePortName {
  readonly time: string;
  readonly event: MonitorKind;
  readonly protocol: string;
  /** address:port of a packet; name and id of the process that called the socket hook. */
  readonly client: string;
  /** What the client dialled. */
  readonly frontend: string;
  /** "" when none was chosen. */
  readonly backend: string;
  /** Name in `enum reason`; EVICTED for an entry that made room. */
  readonly reason: string;
  readonly meaning: string;
  /** From the network header on; 0 for a call. */
  readonly bytes: number;
  readonly process?: { readonly id: number; readonly name: string };
}

/** A row and what filters look at. */
export interface Observed {
  readonly row: MonitorRow;
  /** undefined: a call, whose socket has no address yet. */
  readonly clientAddress?: Address;
}

const NONE = '::';
const EVICTED_TEXT = {
  [MONITOR_EVICTED]: 'evicted: the flow table was full, and a newer flow took its place',
  [MONITOR_EVICTED_HALF_OPEN]: 'evicted: the table of half-open flows was full, and a newer one took its place',
} as const;
const NO_NAME: ServicePortName = { namespace: '', name: '', port: '' };

export const isEviction = (kind: number): kind is keyof typeof EVICTED_TEXT => kind in EVICTED_TEXT;

/** @param reason index in enum reason */
export function kindOf(reason: number): MonitorKind {
  const name = reasons[reason]?.name ?? '';
  if (name.startsWith('REJECT_') || name === 'SOCKET_STALE' || name === 'SOCKET_BIND_REFUSED') return 'refused';
  if (isFailure(name)) return 'dropped';
  return reason === REASON_NEW_FLOW || name.startsWith('SOCKET_') ? 'new' : 'told';
}

/** @param wallTime of an event's time, in milliseconds since the epoch */
export function createObserver(maps: MonitorMaps, wallTime: (time: bigint) => number) {
  const observe = (event: MonitorEvent): Observed => {
    const parts = partsOf(event, flowOf(maps, event));
    const id = parts.servicePortId || servicePortIdOf(maps, event.key);
    const call = event.kind === MONITOR_SOCKET;
    const evicted = isEviction(event.kind);
    const process = event.pid === 0 ? undefined : { id: event.pid, name: event.comm };
    const row: MonitorRow = {
      time: new Date(wallTime(event.time)).toISOString(),
      event: evicted ? 'evicted' : kindOf(event.reason),
      ...(id === 0 ? NO_NAME : nameOf(maps.servicePorts, id)),
      protocol: protocolName(event.key.proto),
      client: call ? (process === undefined ? '' : `${process.name} (${process.id})`) : parts.client,
      frontend: parts.frontend,
      backend: parts.backend,
      reason: evicted ? 'EVICTED' : (reasons[event.reason]?.name ?? String(event.reason)),
      meaning: isEviction(event.kind) ? EVICTED_TEXT[event.kind] : meaningOf(event.reason),
      bytes: event.bytes,
      ...(process !== undefined && { process }),
    };
    return { row, ...(!call && { clientAddress: parts.clientAddress }) };
  };
  return observe;
}

interface Parts {
  readonly servicePortId: number;
  readonly clientAddress: Address;
  readonly client: string;
  readonly frontend: string;
  readonly backend: string;
}

/** A later piece of a datagram has no port, and a ping neither. */
const ends = (address: Address, port: number) => (port === 0 ? address : endpoint(address, port));

/** Who is who in a packet: an answer has the client as its destination. @param found the entry that has the packet */
function partsOf({ key, ...event }: MonitorEvent, found: Flow | undefined): Parts {
  const flags = found?.flags ?? event.flowFlags;
  const backend = event.backend === NONE ? '' : ends(event.backend, event.backendPort);
  if ((flags & FLOW_REPLY) !== 0) {
    const [address, port] = found === undefined ? [key.daddr, key.dport] : [found.daddr, found.dport];
    // Through the stack, the frontend comes back in a second place.
    const frontend = found !== undefined && (flags & FLOW_STAGED) === 0 ? ends(found.saddr, found.sport) : '';
    return {
      servicePortId: found?.servicePortId ?? event.servicePortId,
      clientAddress: address,
      client: ends(address, port),
      frontend,
      backend: ends(key.saddr, key.sport),
    };
  }
  return {
    servicePortId: found?.servicePortId ?? event.servicePortId,
    clientAddress: key.saddr,
    client: ends(key.saddr, key.sport),
    frontend: key.daddr === NONE ? (key.dport === 0 ? '' : `*:${key.dport}`) : ends(key.daddr, key.dport),
    backend: found === undefined ? backend : ends(found.daddr, found.dport),
  };
}

/** The entry that has a packet of which the data path told neither Service nor backend. */
function flowOf(maps: MonitorMaps, event: MonitorEvent): Flow | undefined {
  if (event.servicePortId !== 0 || event.kind === MONITOR_SOCKET || isEviction(event.kind)) return undefined;
  const bytes = encode(flowKey, event.key);
  const value = maps.flows.lookup(bytes) ?? maps.halfOpenFlows.lookup(bytes);
  return value === undefined ? undefined : flow.read(value, 0);
}

/** By what the client dialled, a NodePort too; 0: that is no frontend. */
function servicePortIdOf({ frontends }: MonitorMaps, { daddr, dport, proto }: FlowKey): number {
  const any = familyOf(daddr) === 'IPv4' ? '0.0.0.0' : NONE;
  for (const address of [daddr, any]) {
    const value = frontends.lookup(encode(frontendKey, { address, port: dport, proto }));
    if (value !== undefined) return frontend.read(value, 0).servicePortId;
  }
  return 0;
}

function nameOf(servicePorts: Pick<KernelHash, 'lookup'>, id: number): ServicePortName {
  const found = read(servicePorts, servicePort, encode(servicePortKey, { id }));
  return found === undefined ? NO_NAME : { namespace: found.namespace, name: found.service, port: found.portName };
}

function read<T>(map: Pick<KernelHash, 'lookup'>, codec: Codec<T>, key: Buffer): T | undefined {
  const value = map.lookup(key);
  return value === undefined ? undefined : codec.read(value, 0);
}
