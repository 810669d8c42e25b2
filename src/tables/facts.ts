/**
 * What the agent's maps say, whatever ids and places it was given: two sets of maps that say the same have the same
 * facts. Order of backends, generations and what is remembered of backends that are gone are no facts.
 */
import {
  affinityMemberKey,
  BACKEND_KEPT,
  BACKEND_LOCAL,
  BACKEND_STATE_SERVING,
  BACKEND_TERMINATING,
  backendSlot,
  backendState,
  device,
  FRONTEND_CHOICE,
  frontend,
  frontendFlags,
  frontendKey,
  servicePort,
  servicePortKey,
} from '../../maps-schema/gen/codecs.ts';
import type { KernelHash } from '../bpf/kernel-map.ts';
import { PROTOCOL_NUMBERS, type Protocol, servicePortName } from '../model/compiled.ts';
import { IN_LOCAL_LIST } from '../model/history.ts';
import { describeXdp } from '../model/xdp.ts';
import { readChoice } from './choice.ts';
import { describePlainRow, flagText, withPort } from './describe.ts';
import { knownSlotOf } from './known-addresses.ts';
import { hash32 } from './maglev.ts';
import { listsOf } from './picture.ts';
import { ReservedPorts } from './reserved-ports.ts';
import type { AgentMaps } from './state.ts';

export interface Fact {
  /** Name of the map. */
  readonly map: string;
  /** What it is about, e.g. `10.96.0.10:53/UDP`. */
  readonly row: string;
  /** `namespace/name`; "" for what is the node's. */
  readonly service: string;
  readonly is: string;
}

/** By map and row. */
export type Facts = Map<string, Fact>;

interface Extent {
  readonly base: number;
  readonly count: number;
  readonly port: string;
  readonly list: string;
}

const protocolOf = (number: number) =>
  (Object.keys(PROTOCOL_NUMBERS) as Protocol[]).find((name) => PROTOCOL_NUMBERS[name] === number);

/** @returns the Service of `namespace/name:port/TCP/IPv4`. */
export const serviceOf = (port: string) => (port.includes(':') ? port.slice(0, port.indexOf(':')) : '');

/** @throws SluiceError MAP_FAILED when a map cannot be read */
export function factsOf(maps: AgentMaps): Facts {
  const facts: Facts = new Map();
  const add = (map: string, row: string, service: string, is: string): void => {
    let key = `${map} ${row}`;
    for (let again = row; facts.has(key); key = `${map} ${again}`) again = `${again} (again)`;
    facts.set(key, { map, row: key.slice(map.length + 1), service, is });
  };
  const names = readNames(maps, add);
  const portOf = (id: number) => names.get(id) ?? `(id ${id})`;

  const uses = new Map<string, Extent & { uses: number }>();
  const owners = new Map<string, string>();
  const named = new Set<number>();
  for (const { key, value } of maps.frontends.entries()) {
    const { address, port: number, proto } = frontendKey.read(key, 0);
    const row = frontend.read(value, 0);
    const port = portOf(row.servicePortId);
    const lists = listsOf(row.flags);
    const use = (base: number, count: number, bits: number): string => {
      const list = bits === IN_LOCAL_LIST ? 'local' : 'cluster';
      const name = `${port} ${list} ${base} ${count}`;
      const known = uses.get(name);
      if (known === undefined) uses.set(name, { base, count, port, list, uses: 1 });
      else known.uses++;
      return `${count} of the ${list} list${choiceText(maps, row.flags, base, count)}`;
    };
    const inside = use(row.internalBase, row.internalCount, lists.inside);
    const outside = use(row.externalBase, row.externalCount, lists.outside);
    const text = `${withPort(address, number)}/${protocolOf(proto) ?? proto}`;
    const affinity = row.affinitySeconds > 0 ? ` affinity ${row.affinitySeconds}s` : '';
    const is = `${port} ${flagText(row.flags, frontendFlags)} inside ${inside}, outside ${outside}${affinity}`;
    add('frontends', text, serviceOf(port), is);
    owners.set(address, serviceOf(port));
  }
  const extents = new Map<number, Extent[]>();
  // That of most frontends is the list; another one is beside it.
  const seen = new Set<string>();
  for (const extent of [...uses.values()].sort((a, b) => b.uses - a.uses || a.base - b.base)) {
    addExtent(maps, extent, seen, named, add);
    extents.set(extent.base, [...(extents.get(extent.base) ?? []), extent]);
  }
  addStates(maps, named, add);
  addMembers(maps, extents, add);
  for (const map of [maps.sourceRanges, maps.dsrBackends])
    for (const { row, id, is } of plainRows(map)) {
      const port = portOf(id ?? 0);
      add(map.shape.name, `${port} ${row}`, serviceOf(port), is);
    }
  for (const { row, is } of plainRows(maps.serviceAddresses)) add('service_addresses', row, owners.get(row) ?? '', is);
  for (const map of [maps.nodeAddresses, maps.podCidrs, maps.serviceCidrs, maps.peers, maps.socketOptOuts])
    for (const { row, is } of plainRows(map)) add(map.shape.name, row, '', is);
  for (const { row, is, value } of plainRows(maps.devices)) {
    const { xdp, why } = describeXdp(device.read(value, 0).xdp);
    add('devices', row, '', `${is} xdp ${xdp}${why && ` (${why})`}`);
  }
  for (const { row, is } of new ReservedPorts(maps.reservedPorts, { rows: 0, bytes: 0, deletes: 0 }).inUse())
    add('reserved_ports', row, '', is);
  return facts;
}

/** How backends are chosen, and what each one's share is. */
function choiceText({ backendSlots }: AgentMaps, flags: number, base: number, count: number): string {
  if ((flags & FRONTEND_CHOICE) === 0 || count === 0) return '';
  const found = readChoice(backendSlots.view, base, count);
  if (found === undefined) return ' by an algorithm that cannot be read';
  const weights = found.weights === undefined ? '' : ` weights ${found.weights.join('+')}`;
  return ` by ${found.algorithm}${weights} (shares ${hash32(found.shares.join()).toString(16)})`;
}

type Add = (map: string, row: string, service: string, is: string) => void;

function readNames({ servicePorts }: AgentMaps, add: Add): Map<number, string> {
  const names = new Map<number, string>();
  for (const { key, value } of servicePorts.entries()) {
    const { namespace, service, portName, proto, family } = servicePort.read(value, 0);
    const protocol = protocolOf(proto);
    const { id } = servicePortKey.read(key, 0);
    const name =
      protocol && servicePortName({ namespace, service, portName, protocol, family: family === 4 ? 'IPv4' : 'IPv6' });
    if (name !== undefined) names.set(id, name);
    add('service_ports', name ?? `id ${id}`, name === undefined ? '' : serviceOf(name), 'has an id');
  }
  return names;
}

function* plainRows(map: KernelHash) {
  for (const { key, value } of map.entries())
    yield { ...describePlainRow(map.shape.name, key.toString('latin1'), value), value };
}

function addExtent(maps: AgentMaps, extent: Extent, seen: Set<string>, named: Set<number>, add: Add): void {
  const { base, count, port, list } = extent;
  const max = maps.backendSlots.shape.maxEntries;
  const slotOf = (slot: number) => backendSlot.read(maps.backendSlots.view, slot * maps.backendSlots.stride);
  if (count > 0) {
    const place = seen.has(`${port} ${list}`) ? ` (a second one, from slot ${base})` : '';
    seen.add(`${port} ${list}`);
    if (base + count > max) add('backend_slots', `${port} ${list}${place}`, serviceOf(port), 'lies outside of the map');
    for (let slot = base; slot < Math.min(base + count, max); slot++) {
      const { address, port: number, flags, backendId } = slotOf(slot);
      const endpoint = withPort(address, number);
      const traits = [
        flags & BACKEND_LOCAL && 'local',
        flags & BACKEND_TERMINATING && 'terminating',
        flags & BACKEND_KEPT && 'remembered only',
      ];
      named.add(backendId);
      add(
        'backend_slots',
        `${port} ${list}${place} ${endpoint}`,
        serviceOf(port),
        traits.filter(Boolean).join(', ') || 'elsewhere',
      );
      const state = `${port} ${endpoint} ${serving(maps, backendId)}`;
      if (seen.has(state)) continue;
      seen.add(state);
      add('backend_states', `${port} ${endpoint}`, serviceOf(port), serving(maps, backendId));
    }
  }
  if (base === 0) return;
  for (let slot = base + count; slot < max; slot++) {
    const { flags, backendId } = slotOf(slot);
    if ((flags & BACKEND_KEPT) === 0) break;
    named.add(backendId);
  }
}

function serving({ backendStates }: AgentMaps, id: number): string {
  if (id === 0 || id >= backendStates.shape.maxEntries) return 'without an id';
  const { generation, flags } = backendState.read(backendStates.view, id * backendStates.stride);
  return generation !== 0 && flags & BACKEND_STATE_SERVING ? 'serving' : 'not serving';
}

/** Backends that serve, though no list has them: flows to them go on. */
function addStates({ backendStates }: AgentMaps, named: ReadonlySet<number>, add: Add): void {
  const words = new Uint32Array(
    backendStates.view.buffer,
    backendStates.view.byteOffset,
    backendStates.view.length >> 2,
  );
  for (let id = 1; id < backendStates.shape.maxEntries; id++) {
    if (((words[2 * id + 1] ?? 0) & BACKEND_STATE_SERVING) !== 0 && !named.has(id))
      add('backend_states', `backend ${id}`, '', 'serving, in no list');
  }
}

function addMembers(maps: AgentMaps, extents: ReadonlyMap<number, readonly Extent[]>, add: Add): void {
  for (const { key, value } of maps.affinityMembers.entries()) {
    const { base, backendId } = affinityMemberKey.read(key, 0);
    const offset = value.readUInt32LE(0);
    for (const { count, port, list } of extents.get(base) ?? [{ count: 0, port: '', list: '' }]) {
      const slot =
        offset < count
          ? backendSlot.read(maps.backendSlots.view, (base + offset) * maps.backendSlots.stride)
          : undefined;
      if (slot?.backendId === backendId)
        add(
          'affinity_members',
          `${port} ${list} ${withPort(slot.address, slot.port)}`,
          serviceOf(port),
          'in its place',
        );
      else add('affinity_members', `slot ${base} backend ${backendId}`, serviceOf(port), `offset ${offset}`);
    }
  }
}

/** @returns what packets for frontends and addresses that are wanted would not be looked up for. */
export function unknownOf(wanted: AgentMaps, { knownAddresses }: Pick<AgentMaps, 'knownAddresses'>): Fact[] {
  const [known, ports] = [wanted.knownAddresses.view, 2 << 16];
  const missing: Fact[] = [];
  const look = (row: string, at: number) => {
    if (known[at] !== 0 && knownAddresses.view[at] === 0)
      missing.push({ map: 'known_addresses', row, service: '', is: 'known' });
  };
  for (const map of [wanted.serviceAddresses, wanted.nodeAddresses])
    for (const { key } of map.entries()) {
      const text = key.toString('latin1');
      look(describePlainRow(map.shape.name, text, Buffer.alloc(map.shape.valueSize)).row, knownSlotOf(text));
    }
  const numbers = new Set([...wanted.frontends.entries()].map(({ key }) => frontendKey.read(key, 0).port));
  for (const number of numbers) look(`port ${number}`, ports + number);
  return missing;
}
