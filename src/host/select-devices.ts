/** Which devices the data path is attached to. Nothing but what these rules name is ever touched. */
import type { Node } from '../model/kubernetes.ts';
import { statusAddresses } from './node.ts';
import type { HostDevice, HostState } from './state.ts';

/** Devices that carry other nodes' pods' packets inside packets between nodes. */
export const OVERLAY_KINDS: ReadonlySet<string> = new Set([
  'vxlan',
  'geneve',
  'ipip',
  'ip6tnl',
  'sit',
  'gre',
  'gretap',
  'ip6gre',
  'ip6gretap',
  'wireguard',
  'tun',
]);

/** Devices by which nothing arrives from outside. */
const INNER_KINDS: ReadonlySet<string> = new Set(['dummy', 'ifb', 'nlmon']);

/**
 * Devices by which traffic from outside enters. With names given: exactly those (lo never). Else
 * those that carry an InternalIP or ExternalIP of the Node object, those that a default route
 * leaves by, and tunnels that carry an address of global scope, which pods' addresses are; a bridge
 * or a veth is among them only by one of the first two, a dummy never.
 *
 * @param names values of --devices
 */
export function selectNodeDevices(host: HostState, node: Node | undefined, names?: readonly string[]): HostDevice[] {
  const candidates = host.devices.filter((device) => !device.loopback);
  if (names !== undefined) return candidates.filter((device) => names.includes(device.name));
  const ofNode = new Set(statusAddresses(node));
  const byDefault = new Set(host.defaultRoutes.map((route) => route.device));
  return candidates.filter((device) => {
    if (INNER_KINDS.has(device.kind)) return false;
    if (byDefault.has(device.name)) return true;
    if (device.addresses.some(({ address }) => ofNode.has(address))) return true;
    return OVERLAY_KINDS.has(device.kind) && device.addresses.some(({ scope }) => scope === 'global');
  });
}

/** @returns the names of --devices that do not exist, or are lo. */
export function missingDevices(host: HostState, names: readonly string[]): string[] {
  return names.filter((name) => !host.devices.some((device) => device.name === name && !device.loopback));
}

/**
 * The host's side of pods' devices. With a pattern given: those whose name it matches. Else veths
 * whose other end is in another network namespace. Node devices and lo are never among them.
 *
 * @param pattern value of --pod-devices: names with `*` and `?`, separated by commas
 */
export function selectPodDevices(host: HostState, nodeDevices: readonly HostDevice[], pattern?: string): HostDevice[] {
  const ofNode = new Set(nodeDevices.map(({ ifindex }) => ifindex));
  const others = host.devices.filter((device) => !device.loopback && !ofNode.has(device.ifindex));
  if (pattern !== undefined) {
    const matches = globs(pattern);
    return others.filter(({ name }) => matches.some((glob) => glob.test(name)));
  }
  return others.filter(({ kind, peerNetns }) => kind === 'veth' && peerNetns !== undefined);
}

function globs(pattern: string): RegExp[] {
  const names = pattern.split(',').map((name) => name.trim());
  const source = (name: string) =>
    name
      .replace(/[.+^${}()|[\]\\]/g, '\\$&')
      .replaceAll('*', '.*')
      .replaceAll('?', '.');
  return names.filter((name) => name !== '').map((name) => new RegExp(`^${source(name)}$`, 'u'));
}
