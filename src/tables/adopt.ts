/**
 * What an agent before this one left in the maps: its ids, extents and rows go on being used.
 * Nothing is written here. What makes no sense is set aside, and removed with the first complete apply.
 */
import { dsrBackendKey, servicePort, servicePortKey, sourceRangeKey } from '../../maps-schema/gen/codecs.ts';
import { PROTOCOL_NUMBERS, type Protocol, servicePortName } from '../model/compiled.ts';
import { adoptExtents } from './adopt-extents.ts';
import type { Cost } from './ledger.ts';
import type { RowTable } from './row-table.ts';
import { decodeKey, FRONTEND_AFFINITY } from './rows.ts';
import { backendIdOf } from './slots.ts';
import { createPortState, type PortState, type Range, type Stores } from './state.ts';

/** Rows and slots that belong to no ServicePort. */
export interface Leftovers {
  readonly servicePorts: readonly string[];
  readonly sourceRanges: readonly string[];
  readonly dsrBackends: readonly string[];
  /** Slots that frontends name in a way that makes no sense: not reused until those frontends are gone. */
  readonly ranges: readonly Range[];
}

/** Some rows a step. */
export function* adopt(stores: Stores): Generator<void, Leftovers> {
  const { serviceAddresses, nodeAddresses, devices, podCidrs, serviceCidrs } = stores;
  const ofServices = [stores.frontends, stores.affinityMembers, stores.sourceRanges, stores.servicePorts];
  const ofNode = [serviceAddresses, nodeAddresses, devices, podCidrs, serviceCidrs];
  for (const table of [...ofServices, ...ofNode, stores.peers, stores.dsrBackends, stores.socketOptOuts])
    yield* table.adopt();
  const byId = new Map<number, PortState>();
  const servicePorts = yield* adoptNames(stores, byId);
  yield* adoptFrontends(stores, byId);
  const ranges = yield* adoptExtents(stores);
  const sourceRanges = yield* adoptKeys(stores.sourceRanges, 'ranges', (key) =>
    byId.get(decodeKey(sourceRangeKey, key).servicePortId),
  );
  const dsrBackends = yield* adoptKeys(stores.dsrBackends, 'direct', (key) =>
    byId.get(decodeKey(dsrBackendKey, key).servicePortId),
  );
  stores.ids.adopt(new Set(byId.keys()));
  for (const port of stores.ports.values()) {
    stores.ledger.charge(port, costInForce(stores, port));
    yield;
  }
  return { servicePorts, sourceRanges, dsrBackends, ranges };
}

/** What of the tables a port has in the kernel. */
function costInForce({ frontends }: Stores, { rows, extents, ranges, direct }: PortState): Cost {
  const slots = extents.reduce((sum, { count }) => sum + count, 0);
  const hasMembers = rows.some((key) => frontends.field(key, FRONTEND_AFFINITY) > 0);
  return [rows.length, slots, slots, 1, ranges.length, hasMembers ? slots : 0, direct.length];
}

/** Stages the removal of leftovers, and lets the slots rest that were set aside. */
export function stageLeftovers(stores: Stores, leftovers: Leftovers): void {
  for (const key of leftovers.servicePorts) stores.servicePorts.stageDelete(key);
  for (const key of leftovers.sourceRanges) stores.sourceRanges.stageDelete(key);
  for (const key of leftovers.dsrBackends) stores.dsrBackends.stageDelete(key);
  for (const range of leftovers.ranges) stores.resting.push(range);
  stageForeignMembers(stores);
}

/** @returns keys of rows that name nothing. */
function* adoptNames(stores: Stores, byId: Map<number, PortState>): Generator<void, string[]> {
  const bad: string[] = [];
  for (const key of stores.servicePorts.keys()) {
    yield;
    const { id } = decodeKey(servicePortKey, key);
    const value = stores.servicePorts.value(key);
    if (id === 0 || id > stores.servicePorts.maxEntries || value === undefined) {
      bad.push(key);
      continue;
    }
    const { namespace, service, portName, proto, family } = servicePort.read(value, 0);
    const protocol = (Object.keys(PROTOCOL_NUMBERS) as Protocol[]).find((name) => PROTOCOL_NUMBERS[name] === proto);
    const name =
      protocol && servicePortName({ namespace, service, portName, protocol, family: family === 4 ? 'IPv4' : 'IPv6' });
    if (name === undefined || stores.ports.has(name)) addOrphan(stores, byId, id);
    else {
      const key = `${namespace}/${service}`;
      const port = createPortState(name, key, id, stores.isEssential(key));
      stores.ports.set(name, port);
      byId.set(id, port);
    }
  }
  return bad;
}

/** An id without a usable name: it is kept from others until its rows are gone. */
function addOrphan(stores: Stores, byId: Map<number, PortState>, id: number): PortState {
  const port = createPortState(`(id ${id})`, '/', id);
  stores.ports.set(port.name, port);
  byId.set(id, port);
  return port;
}

function* adoptFrontends(stores: Stores, byId: Map<number, PortState>): Generator<void> {
  for (const key of stores.frontends.keys()) {
    const id = stores.frontends.field(key, 0);
    const port = byId.get(id) ?? addOrphan(stores, byId, id);
    stores.frontends.setOwner(key, port);
    port.rows.push(key);
    yield;
  }
}

/** @returns keys of rows whose id is nobody's. */
function* adoptKeys(
  table: RowTable,
  rows: 'ranges' | 'direct',
  owner: (key: string) => PortState | undefined,
): Generator<void, string[]> {
  const foreign: string[] = [];
  for (const key of table.keys()) {
    const port = owner(key);
    if (port === undefined) foreign.push(key);
    else port[rows].push(key);
    yield;
  }
  return foreign;
}

/** Stages the removal of members of no extent, or of another backend than the one at their offset. */
function stageForeignMembers(stores: Stores): void {
  const members = stores.affinityMembers;
  if (members.size === 0) return;
  const counts = new Map<number, number>();
  for (const { extents } of stores.ports.values()) {
    for (const { base, count, members: written } of extents) if (written !== 'none') counts.set(base, count);
  }
  const copy = stores.slots.copy;
  for (const key of members.keys()) {
    const bytes = Buffer.from(key, 'latin1');
    const base = bytes.readUInt32LE(0);
    const offset = members.field(key, 0);
    const known = offset < (counts.get(base) ?? 0) && backendIdOf(copy, base + offset) === bytes.readUInt32LE(4);
    if (!known) members.stageDelete(key);
  }
}
