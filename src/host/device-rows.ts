/** Rows of the map devices: what the data path must know of each device. */
import {
  DEVICE_LOCAL_PODS,
  DEVICE_NO_ETHERNET,
  DEVICE_NODE,
  DEVICE_OTHER_MACS,
  DEVICE_OVERLAY,
  DEVICE_POD,
} from '../../maps-schema/gen/codecs.ts';
import { type Address, type Family, familyOf } from '../model/address.ts';
import type { Configuration } from '../model/configuration.ts';
import type { Node } from '../model/kubernetes.ts';
import { primaryAddresses } from './node.ts';
import { OVERLAY_KINDS } from './select-devices.ts';
import type { HostAddress, HostDevice, HostState } from './state.ts';

export interface DeviceRow {
  readonly ifindex: number;
  /** Source address that MASQUERADE would take on the device; `::` when there is none. */
  readonly masquerade4: Address;
  readonly masquerade6: Address;
  /** Mask of DEVICE_*. */
  readonly flags: number;
  /** Bytes. */
  readonly mtu: number;
  /** Index of the bridge, bond or VRF that it belongs to; 0: none. */
  readonly master: number;
  readonly mac: string;
}

const NO_MAC = '00:00:00:00:00:00';

type Settings = Pick<Configuration, 'bindAddress' | 'detectLocalMode' | 'bridgeInterface' | 'interfaceNamePrefix'>;

/**
 * One row for each device but lo: packets leave by devices that nothing is attached to as well. A bridge counts as the
 * devices of pods that are its ports: routes lead to them by way of it.
 */
export function deviceRows(
  host: HostState,
  nodeDevices: readonly HostDevice[],
  podDevices: readonly HostDevice[],
  node: Node | undefined,
  settings: Settings,
): DeviceRow[] {
  const nodes = new Set(nodeDevices.map(({ ifindex }) => ifindex));
  const pods = new Set(podDevices.map(({ ifindex }) => ifindex));
  const fallback = {
    IPv4: fallbackSource(host, node, settings, 'IPv4'),
    IPv6: fallbackSource(host, node, settings, 'IPv6'),
  };
  const bridges = new Set(podDevices.map(({ master }) => master));
  const indices = new Map(host.devices.map(({ name, ifindex }) => [name, ifindex]));
  return host.devices
    .filter((device) => !device.loopback)
    .map((device) => ({
      ifindex: device.ifindex,
      masquerade4: masqueradeSource(device, 'IPv4') ?? fallback.IPv4 ?? '::',
      masquerade6: masqueradeSource(device, 'IPv6') ?? fallback.IPv6 ?? '::',
      flags:
        (nodes.has(device.ifindex) ? DEVICE_NODE : 0) |
        (pods.has(device.ifindex) || (device.kind === 'bridge' && bridges.has(device.name)) ? DEVICE_POD : 0) |
        (carriesLocalPods(device, settings) ? DEVICE_LOCAL_PODS : 0) |
        (device.hasEthernet ? 0 : DEVICE_NO_ETHERNET) |
        (OVERLAY_KINDS.has(device.kind) ? DEVICE_OVERLAY : 0) |
        (hasOtherMacs(host, device) ? DEVICE_OTHER_MACS : 0),
      mtu: device.mtu,
      master: indices.get(device.master ?? '') ?? 0,
      mac: device.mac === '' ? NO_MAC : device.mac,
    }));
}

/** Frames for a macvlan, such as one with the MAC address of VRRP, come in by the device that it is on. One in a pod is the pod's. */
function hasOtherMacs(host: HostState, device: HostDevice): boolean {
  return host.devices.some(({ up, parent, mac }) => up && parent === device.name && mac !== '' && mac !== device.mac);
}

/**
 * The kernel's choice among the device's own addresses: for IPv4 the first primary one of global
 * scope (inet_select_addr), for IPv6 the first of the best (ipv6_dev_get_saddr): not deprecated
 * before deprecated, public before temporary.
 */
export function masqueradeSource(device: HostDevice, family: Family): Address | undefined {
  const candidates = device.addresses.filter(
    ({ address, scope, secondary, unusable }) =>
      familyOf(address) === family && scope === 'global' && !secondary && !unusable,
  );
  const rank = ({ deprecated, temporary }: HostAddress) => (deprecated ? 2 : 0) + (temporary ? 1 : 0);
  return candidates.sort((a, b) => rank(a) - rank(b))[0]?.address;
}

/** A device without an address of its own borrows: the node's primary address if it is here, else the first of any device. */
function fallbackSource(
  host: HostState,
  node: Node | undefined,
  settings: Settings,
  family: Family,
): Address | undefined {
  const primary = primaryAddresses(node, settings)[family];
  const isHere = host.devices.some((device) => device.addresses.some(({ address }) => address === primary));
  if (primary !== undefined && isHere) return primary;
  for (const device of host.devices) {
    const source = masqueradeSource(device, family);
    if (source !== undefined) return source;
  }
  return undefined;
}

/** A port counts as its bridge does: that is where the stack sees what enters by the port. */
function carriesLocalPods(device: HostDevice, settings: Settings): boolean {
  const names = device.master === undefined ? [device.name] : [device.name, device.master];
  switch (settings.detectLocalMode) {
    case 'BridgeInterface':
      return names.includes(settings.bridgeInterface);
    case 'InterfaceNamePrefix':
      return names.some((name) => name.startsWith(settings.interfaceNamePrefix));
    default:
      return false;
  }
}
