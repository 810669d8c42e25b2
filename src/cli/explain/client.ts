/** Who a client is in the eyes of the data path (bpf/lib/source.h), from its address and the routes of the node. */

import { encode } from '../../../maps-schema/codec.ts';
import {
  cidrKey,
  DEVICE_LOCAL_PODS,
  DEVICE_OVERLAY,
  DEVICE_POD,
  type Device,
  device,
  deviceKey,
  type Knobs,
  mark,
  NODE_ADDRESS_BROADCAST,
  NODE_ADDRESS_LOCAL,
  nodeAddressKey,
} from '../../../maps-schema/gen/codecs.ts';
import type { Maps } from '../../bpf/open-maps.ts';
import { type Address, familyOf } from '../../model/address.ts';
import { cidrContains } from '../../model/cidr.ts';
import type { Route } from '../routes.ts';
import { decodeRows } from '../views/rows.ts';

export type ClientKind = 'node' | 'local-pod' | 'remote';
/** Which rules hold for it: those of pods, of this node, of everybody else; or nobody can be it. */
export type Source = 'pod' | 'node' | 'outside' | 'impossible';

export interface Client {
  readonly kind: ClientKind;
  readonly source: Source;
  /** By which device its packets come in, as far as routes tell. */
  readonly device?: string;
  /** Why it is taken for what it is. */
  readonly why: string;
}

export type Devices = ReadonlyMap<number, Device>;

export function readDevices(maps: Maps): Devices {
  return new Map(
    [...decodeRows(maps.devices.entries(), deviceKey, device)].map(([{ ifindex }, row]) => [ifindex, row]),
  );
}

/** enum node_address_flags of an address. */
export function nodeAddressFlagsOf(maps: Maps, address: Address): number {
  const value = maps.nodeAddresses.lookup(encode(nodeAddressKey, { address }));
  return value === undefined ? 0 : mark.read(value, 0).flags;
}

/** Do packets that go to this route's device go to a pod of this node, at once or by a bridge? */
export function leadsToPods(route: Route, devices: Devices): boolean {
  const flags = devices.get(route.ifindex)?.flags ?? 0;
  if (flags & DEVICE_POD) return true;
  return [...devices.values()].some((row) => row.flags & DEVICE_POD && row.master === route.ifindex);
}

export function isPodAddress(maps: Maps, address: Address): boolean {
  for (const [{ prefixlen, address: network }] of decodeRows(maps.podCidrs.entries(), cidrKey, mark)) {
    const bits = familyOf(network) === 'IPv4' ? prefixlen - 96 : prefixlen;
    if (familyOf(network) === familyOf(address) && cidrContains({ address: network, bits }, address)) return true;
  }
  return false;
}

/** RFC 1122 3.2.1.3, RFC 4291 2.5, 2.7. */
const MARTIAN = /^(?:0\.|127\.|22[4-9]\.|23\d\.|255\.255\.255\.255$|ff|::1?$)/;

/**
 * @param address undefined: a process of this node
 * @param route to the client; undefined: none
 */
export function classify(
  maps: Maps,
  knobs: Pick<Knobs, 'detectPods4' | 'detectPods6'> | undefined,
  address: Address | undefined,
  route: Route | undefined,
): Client {
  if (address === undefined) return { kind: 'node', source: 'node', why: 'a process of this node' };
  const detect = knobs === undefined || (familyOf(address) === 'IPv4' ? knobs.detectPods4 : knobs.detectPods6) === 1;
  const pod = isPodAddress(maps, address);
  const flags = nodeAddressFlagsOf(maps, address);
  if (flags & NODE_ADDRESS_LOCAL || route?.local)
    return { kind: 'node', source: detect && pod ? 'pod' : 'node', why: 'an address of this node' };
  if (MARTIAN.test(address) || flags & NODE_ADDRESS_BROADCAST)
    return { kind: 'remote', source: 'impossible', why: 'no packet comes from this address' };
  const devices = readDevices(maps);
  if (route !== undefined && leadsToPods(route, devices)) {
    const row = devices.get(route.ifindex);
    const isPod = !detect || pod || ((row?.flags ?? 0) & DEVICE_LOCAL_PODS) !== 0;
    return {
      kind: 'local-pod',
      source: isPod ? 'pod' : 'outside',
      device: route.device,
      why: isPod ? 'a pod of this node' : 'behind a pod device, but not in the network of the pods: as from outside',
    };
  }
  const common = { kind: 'remote' as const, ...(route && { device: route.device }) };
  if (!detect || !pod) return { ...common, source: 'outside', why: 'outside the cluster' };
  if (route === undefined)
    return {
      ...common,
      source: 'outside',
      why: 'in the network of the pods, but no route leads back: as from outside',
    };
  const overlay = ((devices.get(route.ifindex)?.flags ?? 0) & DEVICE_OVERLAY) !== 0;
  return { ...common, source: 'pod', why: `a pod of another node${overlay ? ', by the overlay' : ''}` };
}
