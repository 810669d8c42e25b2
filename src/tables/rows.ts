/** A compiled ServicePort as bytes of the maps. A key is the latin1 text of its bytes. */

import type { Codec } from '../../maps-schema/codec.ts';
import {
  affinityMemberKey,
  BACKEND_LOCAL,
  BACKEND_TERMINATING,
  backendSlot,
  cgroupKey,
  cidrKey,
  deviceKey,
  dsrBackend,
  dsrBackendKey,
  frontendKey,
  nodeAddressKey,
  serviceAddressKey,
  servicePort,
  servicePortKey,
  sourceRangeKey,
} from '../../maps-schema/gen/codecs.ts';
import { type Address, familyOf } from '../model/address.ts';
import {
  type Backend,
  type Cidr,
  type CompiledServicePort,
  PROTOCOL_NUMBERS,
  type Protocol,
} from '../model/compiled.ts';
import type { DirectBackend } from '../model/forwarding.ts';
import { SLOT, type SlotBuffer } from './slots.ts';

const scratch = Buffer.alloc(64);

function keyOf<T>(codec: Codec<T>, value: T): string {
  codec.write(scratch, 0, value);
  return scratch.toString('latin1', 0, codec.size);
}

/** @returns the value whose latin1 text a key is. */
export function decodeKey<T>(codec: Codec<T>, key: string): T {
  return codec.read(Buffer.from(key, 'latin1'), 0);
}

/** @param id of a cgroup of version 2 */
export function cgroupKeyOf(id: bigint): string {
  return keyOf(cgroupKey, { id });
}

export function frontendKeyOf(address: Address, port: number, protocol: Protocol): string {
  return keyOf(frontendKey, { address, port, proto: PROTOCOL_NUMBERS[protocol] });
}

/** @returns the key in service_addresses of a frontend's address. */
export function serviceAddressKeyOfFrontend(key: string): string {
  return key.slice(0, serviceAddressKey.size);
}

const WILDCARDS: readonly string[] = ['0.0.0.0', '::'].map((address) => keyOf(serviceAddressKey, { address }));

/** @returns whether a frontend is for every address of the node, as NodePorts are. */
export function isWildcard(key: string): boolean {
  return WILDCARDS.some((address) => key.startsWith(address));
}

export function portOfFrontend(key: string): number {
  return (key.charCodeAt(serviceAddressKey.size) << 8) | key.charCodeAt(serviceAddressKey.size + 1);
}

export function affinityMemberKeyOf(base: number, backendId: number): string {
  return keyOf(affinityMemberKey, { base, backendId });
}

export function servicePortKeyOf(id: number): string {
  return keyOf(servicePortKey, { id });
}

export function nodeAddressKeyOf(address: Address): string {
  return keyOf(nodeAddressKey, { address });
}

export function deviceKeyOf(ifindex: number): string {
  return keyOf(deviceKey, { ifindex });
}

/** Bits of a prefix of a 16-byte address: an IPv4 network lies under ::ffff:0:0/96. */
function mappedBits(cidr: Cidr): number {
  return familyOf(cidr.address) === 'IPv4' ? 96 + cidr.bits : cidr.bits;
}

export function cidrKeyOf(cidr: Cidr): string {
  return keyOf(cidrKey, { prefixlen: mappedBits(cidr), address: cidr.address });
}

export function sourceRangeKeyOf(servicePortId: number, range: Cidr): string {
  return keyOf(sourceRangeKey, { prefixlen: 32 + mappedBits(range), servicePortId, address: range.address });
}

export function dsrBackendKeyOf(servicePortId: number, address: Address): string {
  return keyOf(dsrBackendKey, { address, servicePortId });
}

export function writeDsrBackend(buffer: Buffer, { node, port, local }: DirectBackend): void {
  dsrBackend.write(buffer, 0, { node: node ?? '::', port, flags: local ? BACKEND_LOCAL : 0 });
}

/** Writes a backend without its id. */
export function writeBackend(slots: SlotBuffer, slot: number, backend: Backend, extraFlags = 0): void {
  const flags = (backend.local ? BACKEND_LOCAL : 0) | (backend.terminating ? BACKEND_TERMINATING : 0) | extraFlags;
  backendSlot.write(slots.bytes, slot * SLOT, { address: backend.address, port: backend.port, flags, backendId: 0 });
}

/** Writes the name of an id. */
export function writeServicePort(buffer: Buffer, port: CompiledServicePort): void {
  servicePort.write(buffer, 0, {
    namespace: port.namespace,
    service: port.service,
    portName: port.portName,
    proto: PROTOCOL_NUMBERS[port.protocol],
    family: port.family === 'IPv4' ? 4 : 6,
  });
}

/** Byte offsets of fields of a frontend's value: its flags, and the extents that it names. */
export const FRONTEND_FLAGS = 4;
export const FRONTEND_INTERNAL_BASE = 8;
export const FRONTEND_INTERNAL_COUNT = 12;
export const FRONTEND_EXTERNAL_BASE = 16;
export const FRONTEND_EXTERNAL_COUNT = 20;
export const FRONTEND_AFFINITY = 24;
