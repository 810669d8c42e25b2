/** The state of a Service at a time in the past: what is in force now, and the changes since undone. */
import { BACKEND_KEPT, backendSlot, frontend, frontendKey, type ServicePort } from '../../../maps-schema/gen/codecs.ts';
import type { Maps } from '../../bpf/open-maps.ts';
import {
  type ChangeRecord,
  type HistoryRecord,
  IN_CLUSTER_LIST,
  IN_LOCAL_LIST,
  IS_KEPT,
  IS_LOCAL,
  IS_TERMINATING,
} from '../../model/history.ts';
import {
  decodeEndpoint,
  EMPTY_PICTURE,
  type ExtentBytes,
  type Picture,
  pictureOf,
  servingOf,
  undo,
} from '../../tables/picture.ts';
import { decodeKey } from '../../tables/rows.ts';
import { compareBy, protocolName } from '../format.ts';
import { flagWords } from './frontends.ts';
import { matchesService, readNames, type ServiceFilter, type ServicePortName } from './names.ts';

export interface PastFrontend {
  readonly address: string;
  readonly port: number;
  readonly types: readonly string[];
  readonly traits: readonly string[];
  readonly affinitySeconds: number;
}

export interface PastBackend {
  readonly address: string;
  readonly port: number;
  readonly lists: readonly ('cluster' | 'local')[];
  readonly state: 'serving' | 'terminating' | 'kept';
  /** On this node. */
  readonly local: boolean;
}

export interface PastPort extends ServicePortName {
  readonly protocol: string;
  readonly family: string;
  readonly serving: { readonly inside: number; readonly outside: number };
  readonly frontends: readonly PastFrontend[];
  readonly backends: readonly PastBackend[];
  /** False: more changed at once than was written down; what is shown may be wrong. */
  readonly complete: boolean;
}

/** What names a ServicePort, as records and the kernel have it. */
type PortId = Pick<ChangeRecord, 'namespace' | 'service' | 'port' | 'protocol' | 'family'>;
const idOf = ({ namespace, service, port, protocol, family }: PortId) =>
  `${namespace}/${service}:${port}/${protocol}/${family}`;

interface Entry {
  readonly id: PortId;
  picture: Picture;
  complete: boolean;
}

/**
 * @param records of the history, the oldest first
 * @param at ms since the epoch
 * @returns the ServicePorts that had frontends then
 */
export function readPast(maps: Maps, records: readonly HistoryRecord[], filter: ServiceFilter, at: number): PastPort[] {
  const ports = currentPorts(maps, filter);
  let overflow = false;
  for (const record of [...records].reverse()) {
    if (record.at <= at) break;
    overflow ||= record.kind === 'overflow';
    if (record.kind !== 'change' || !matchesService(filter, { ...record, name: record.service })) continue;
    const known = ports.get(idOf(record)) ?? { id: record, picture: EMPTY_PICTURE, complete: true };
    ports.set(idOf(record), known);
    known.picture = undo(known.picture, record);
    if (record.moreFrontends !== undefined || record.moreBackends !== undefined) known.complete = false;
  }
  return [...ports.values()]
    .filter(({ picture }) => picture.frontends.size > 0)
    .map((entry) => rowOf(entry, !overflow))
    .sort(
      compareBy(
        (row) => row.namespace,
        (row) => row.name,
        (row) => row.port,
        (row) => row.protocol,
        (row) => row.family,
      ),
    );
}

function rowOf({ id, picture, complete }: Entry, whole: boolean): PastPort {
  const { inside, outside } = servingOf(picture);
  const frontends = [...picture.frontends].map(([key, { flags, affinitySeconds }]) => {
    const { address, port } = decodeKey(frontendKey, key);
    const { types, traits } = flagWords(flags);
    return { address, port, types, traits, affinitySeconds };
  });
  const backends = [...picture.backends].map(([key, bits]) => ({ ...decodeEndpoint(key), ...backendWords(bits) }));
  return {
    namespace: id.namespace,
    name: id.service,
    port: id.port,
    protocol: id.protocol,
    family: id.family,
    serving: { inside, outside },
    frontends: frontends.sort(
      compareBy(
        (row) => row.address,
        (row) => row.port,
      ),
    ),
    backends: backends.sort(
      compareBy(
        (row) => row.address,
        (row) => row.port,
      ),
    ),
    complete: complete && whole,
  };
}

function backendWords(bits: number): Pick<PastBackend, 'lists' | 'state' | 'local'> {
  return {
    lists: [
      ...(bits & IN_CLUSTER_LIST ? (['cluster'] as const) : []),
      ...(bits & IN_LOCAL_LIST ? (['local'] as const) : []),
    ],
    state: bits & IS_KEPT ? 'kept' : bits & IS_TERMINATING ? 'terminating' : 'serving',
    local: (bits & IS_LOCAL) !== 0,
  };
}

/** Pictures of the kernel's rows, of the Services that match. */
function currentPorts(maps: Maps, filter: ServiceFilter): Map<string, Entry> {
  const names = readNames(maps.servicePorts.entries());
  const rows = new Map<number, { key: string; value: Buffer }[]>();
  const bases = new Set<number>();
  for (const { key, value } of maps.frontends.entries()) {
    const { servicePortId, internalBase, externalBase } = frontend.read(value, 0);
    bases.add(internalBase).add(externalBase);
    const name = names.get(servicePortId);
    if (name === undefined || !matchesService(filter, nameOf(name))) continue;
    const known = rows.get(servicePortId);
    if (known === undefined) rows.set(servicePortId, [{ key: key.toString('latin1'), value }]);
    else known.push({ key: key.toString('latin1'), value });
  }
  const ports = new Map<string, Entry>();
  for (const [servicePortId, found] of rows) {
    const name = names.get(servicePortId);
    if (name === undefined) continue;
    const id = portIdOf(name);
    const values = Buffer.concat(found.map(({ value }) => value));
    const picture = pictureOf({ keys: found.map(({ key }) => key), values, extents: extentsOf(maps, values, bases) });
    ports.set(idOf(id), { id, picture, complete: true });
  }
  return ports;
}

const nameOf = ({ namespace, service, portName }: ServicePort) => ({ namespace, name: service, port: portName });

function portIdOf({ namespace, service, portName, proto, family }: ServicePort): PortId {
  return {
    namespace,
    service,
    port: portName,
    protocol: protocolName(proto) as PortId['protocol'],
    family: family === 4 ? 'IPv4' : 'IPv6',
  };
}

/** @param bases of all extents: one ends where the next begins. */
function extentsOf({ backendSlots }: Maps, values: Buffer, bases: ReadonlySet<number>): ExtentBytes[] {
  const counts = new Map<number, number>();
  for (let at = 0; at < values.length; at += frontend.size) {
    const row = frontend.read(values, at);
    for (const [base, count] of [
      [row.internalBase, row.internalCount],
      [row.externalBase, row.externalCount],
    ] as const)
      counts.set(base, Math.max(count, counts.get(base) ?? 0));
  }
  const { view, stride } = backendSlots;
  return [...counts].map(([base, count]) => {
    let end = base + count;
    while (end > 0 && (end === base || !bases.has(end)) && isKept(view, end * stride)) end++;
    return { base, count, slots: Buffer.from(view.subarray(base * stride, end * stride)) };
  });
}

function isKept(view: Buffer, at: number): boolean {
  return at + backendSlot.size <= view.length && (backendSlot.read(view, at).flags & BACKEND_KEPT) !== 0;
}
