/** Rows of the maps as text for people. */
import {
  affinityMemberKey,
  BACKEND_LOCAL,
  BACKEND_STATE_SERVING,
  backendSlot,
  backendState,
  cgroupKey,
  cidrKey,
  device,
  deviceFlags,
  deviceKey,
  dsrBackend,
  dsrBackendKey,
  frontend,
  frontendFlags,
  frontendKey,
  mark,
  nodeAddressFlags,
  nodeAddressKey,
  serviceAddressFlags,
  serviceAddressKey,
  servicePort,
  servicePortKey,
  sourceRangeKey,
} from '../../maps-schema/gen/codecs.ts';
import { type Address, familyOf } from '../model/address.ts';
import { PROTOCOL_NUMBERS } from '../model/compiled.ts';
import { decodeKey } from './rows.ts';
import { backendIdOf, SLOT } from './slots.ts';
import type { Stores } from './state.ts';

interface RowText {
  readonly row: string;
  readonly servicePort: string | undefined;
  readonly expected: string | undefined;
  readonly actual: string | undefined;
}

/** @param map name of the map in the schema */
export function describeRow(
  stores: Stores,
  map: string,
  key: string,
  expected: Buffer | undefined,
  actual: Buffer | undefined,
): RowText {
  const [row, id, value] = decoders[map]?.(key) ?? [Buffer.from(key, 'latin1').toString('hex'), undefined, hex];
  const text = (buffer: Buffer | undefined) => (buffer === undefined ? undefined : value(buffer));
  const owner = id ?? (map === 'frontends' ? (expected ?? actual)?.readUInt32LE(0) : undefined);
  return { row, servicePort: nameOf(stores, owner), expected: text(expected), actual: text(actual) };
}

/** @returns the row's key and its value as text, and whose id is in the key, where one is. */
export function describePlainRow(
  map: string,
  key: string,
  value: Buffer,
): { readonly row: string; readonly id: number | undefined; readonly is: string } {
  const [row, id, text] = decoders[map]?.(key) ?? [Buffer.from(key, 'latin1').toString('hex'), undefined, hex];
  return { row, id, is: text(value) };
}

export function describeSlot(stores: Stores, slot: number): { expected: string; actual: string } {
  const expected = stores.slots.copy.bytes.subarray(slot * SLOT, (slot + 1) * SLOT);
  return { expected: slotText(expected), actual: slotText(stores.slots.actual(slot)) };
}

export function describeState(
  stores: Stores,
  id: number,
): { servicePort: string | undefined; expected: string; actual: string } {
  const { generation, flags } = backendState.read(stores.backends.actual(id), 0);
  return {
    servicePort: ownerOfBackend(stores, id),
    expected: stateText(stores.backends.generation(id), stores.backends.isServing(id)),
    actual: stateText(generation, (flags & BACKEND_STATE_SERVING) !== 0),
  };
}

/** Key as text, service_port_id where the key has it, and how to write the value. */
type Decoder = (key: string) => [string, number | undefined, (value: Buffer) => string];

const decoders: Readonly<Record<string, Decoder>> = {
  frontends: (key) => {
    const { address, port, proto } = decodeKey(frontendKey, key);
    const protocol =
      Object.entries(PROTOCOL_NUMBERS).find(([, number]) => number === proto)?.[0] ?? `protocol ${proto}`;
    return [`${withPort(address, port)}/${protocol}`, undefined, frontendText];
  },
  service_addresses: (key) => [
    decodeKey(serviceAddressKey, key).address,
    undefined,
    (value) => flagText(mark.read(value, 0).flags, serviceAddressFlags),
  ],
  affinity_members: (key) => {
    const { base, backendId } = decodeKey(affinityMemberKey, key);
    return [`extent ${base} backend ${backendId}`, undefined, (value) => `offset ${value.readUInt32LE(0)}`];
  },
  source_ranges: (key) => {
    const { prefixlen, servicePortId, address } = decodeKey(sourceRangeKey, key);
    return [cidrText(address, prefixlen - 32), servicePortId, () => 'allowed'];
  },
  service_ports: (key) => {
    const { id } = decodeKey(servicePortKey, key);
    return [`id ${id}`, id, servicePortText];
  },
  node_addresses: (key) => [
    decodeKey(nodeAddressKey, key).address,
    undefined,
    (value) => flagText(mark.read(value, 0).flags, nodeAddressFlags),
  ],
  peers: (key) => [decodeKey(nodeAddressKey, key).address, undefined, () => 'peer'],
  dsr_backends: (key) => {
    const { address, servicePortId } = decodeKey(dsrBackendKey, key);
    const text = (value: Buffer) => {
      const { node, port, flags } = dsrBackend.read(value, 0);
      return `port ${port} on node ${node}${flags & BACKEND_LOCAL ? ' (this one)' : ''}`;
    };
    return [address, servicePortId, text];
  },
  devices: (key) => [`device ${decodeKey(deviceKey, key).ifindex}`, undefined, deviceText],
  pod_cidrs: cidrDecoder('pods'),
  service_cidrs: cidrDecoder('cluster IPs'),
  socket_opt_outs: (key) => [`cgroup ${decodeKey(cgroupKey, key).id}`, undefined, () => 'opted out'],
};

function cidrDecoder(what: string): Decoder {
  return (key) => {
    const { prefixlen, address } = decodeKey(cidrKey, key);
    return [cidrText(address, prefixlen), undefined, () => what];
  };
}

function frontendText(value: Buffer): string {
  const { servicePortId, flags, internalBase, internalCount, externalBase, externalCount, affinitySeconds } =
    frontend.read(value, 0);
  const inside = `internal ${internalBase}+${internalCount}`;
  const outside = `external ${externalBase}+${externalCount}`;
  return `id ${servicePortId} ${flagText(flags, frontendFlags)} ${inside} ${outside} affinity ${affinitySeconds}s`;
}

function servicePortText(value: Buffer): string {
  const { namespace, service, portName, proto, family } = servicePort.read(value, 0);
  return `${namespace}/${service}:${portName} protocol ${proto} IPv${family}`;
}

function deviceText(value: Buffer): string {
  const { masquerade4, masquerade6, flags, mtu } = device.read(value, 0);
  return `${flagText(flags, deviceFlags)} mtu ${mtu} masquerade ${masquerade4} ${masquerade6}`;
}

function slotText(value: Buffer): string {
  const { address, port, flags, backendId } = backendSlot.read(value, 0);
  return `${withPort(address, port)} backend ${backendId} flags ${flags}`;
}

function stateText(generation: number, serving: boolean): string {
  return `generation ${generation} ${serving ? 'serving' : 'not serving'}`;
}

export function withPort(address: Address, port: number): string {
  return familyOf(address) === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`;
}

function cidrText(address: Address, bits: number): string {
  return `${address}/${familyOf(address) === 'IPv4' ? bits - 96 : bits}`;
}

export function flagText(flags: number, names: Readonly<Record<number, string>>): string {
  const set = Object.entries(names).flatMap(([bit, name]) => (flags & (1 << Number(bit)) ? [name] : []));
  return set.length > 0 ? set.join('|') : '-';
}

function hex(value: Buffer): string {
  return value.toString('hex');
}

function nameOf(stores: Stores, id: number | undefined): string | undefined {
  if (id === undefined) return undefined;
  for (const port of stores.ports.values()) if (port.id === id) return port.name;
  return undefined;
}

function ownerOfBackend(stores: Stores, id: number): string | undefined {
  const copy = stores.slots.copy;
  for (const { name, extents } of stores.ports.values()) {
    for (const { base, length } of extents)
      for (let slot = base; slot < base + length; slot++) if (backendIdOf(copy, slot) === id) return name;
  }
  return undefined;
}
