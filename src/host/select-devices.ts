/** Which devices the data path is attached to. Nothing but what these rules name is ever touched. */
import type { Address } from '../model/address.ts';
import type { Node } from '../model/kubernetes.ts';
import { statusAddresses } from './node.ts';
import type { HostAddress, HostDevice, HostState } from './state.ts';

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

/** Devices beside another one, whose packets meet the hooks of that one as well. */
const CHILD_KINDS: ReadonlySet<string> = new Set(['macvlan', 'macvtap', 'ipvlan', 'ipvtap']);

/** Two ends, one of them in a pod. */
const PAIR_KINDS: ReadonlySet<string> = new Set(['veth', 'netkit']);

/** Ports by which a bridge leads out of the machine, or to virtual machines: network cards, what is made of them, taps. */
const WIRE_KINDS: ReadonlySet<string> = new Set(['', 'bond', 'team', 'vlan', 'tun', 'macvtap']);

/** Reasons by which what arrives by a device is not served at all. */
const NOT_NAMED = '--devices does not name it';
const INNER = 'nothing arrives by a device of this kind';
const NO_ETHERNET = 'its packets have no Ethernet header';

/** What became of a device that carries an address or a default route. */
export interface DeviceChoice {
  readonly device: HostDevice;
  /** Why nothing is attached to it as a node device, in words for users; undefined: it is one. */
  readonly leftOut: string | undefined;
}

export interface LeftOutDevice {
  readonly device: string;
  readonly why: string;
  readonly unserved: readonly Address[];
}

/**
 * Devices by which traffic from outside enters. With names given: exactly those (lo never). Else
 * those that carry an InternalIP or ExternalIP of the Node object, those that a default route
 * leaves by, and those that carry another address of global scope: a bridge, or a VLAN of one, only when one of its
 * ports leads out, of Open vSwitch none, for nobody tells what is behind it, a veth only when it leads to a network and not to one pod. A packet must meet the hooks once: so a port of a
 * bridge, bond or team is left to that, and a macvlan to its parent. A dummy and a VRF are never among them.
 *
 * @param names values of --devices
 */
export function selectNodeDevices(host: HostState, node: Node | undefined, names?: readonly string[]): HostDevice[] {
  return judgeDevices(host, node, names)
    .filter(({ leftOut }) => leftOut === undefined)
    .map(({ device }) => device);
}

/** The same, with those that are left out although they carry an address or a default route, and why. In the order of the host's devices. */
export function judgeDevices(host: HostState, node: Node | undefined, names?: readonly string[]): DeviceChoice[] {
  const candidates = host.devices.filter((device) => !device.loopback);
  const ofNode = new Set(statusAddresses(node));
  const byDefault = new Set(host.defaultRoutes.map((route) => route.device));
  const isUplink = (device: HostDevice) =>
    byDefault.has(device.name) || device.addresses.some(({ address }) => ofNode.has(address));
  const choose = (device: HostDevice): string | undefined => {
    if (names?.includes(device.name)) return undefined;
    if (names !== undefined) return INNER_KINDS.has(device.kind) ? INNER : NOT_NAMED;
    return leftOutByKind(host, device) ?? (isUplink(device) ? undefined : leftOutInside(host, device));
  };
  const choices = candidates.map((device) => ({ device, leftOut: choose(device) }));
  const attached = new Set(choices.filter(({ leftOut }) => leftOut === undefined).map(({ device }) => device.name));
  return choices
    .map(({ device, leftOut }) => ({
      device,
      leftOut: leftOut ?? leftToAnother(host, device, attached),
    }))
    .filter(({ device, leftOut }) => leftOut === undefined || isUplink(device) || device.addresses.some(isGlobal));
}

function leftOutByKind(host: HostState, device: HostDevice): string | undefined {
  if (INNER_KINDS.has(device.kind)) return INNER;
  if (device.kind === 'vrf') return 'its packets are met on its members';
  const master = masterOf(host, device);
  return master === undefined ? undefined : portOf(master);
}

function portOf({ name }: HostDevice): string {
  return `it is a port of ${name}`;
}

/** For one with neither an address of the Node object nor a default route. */
function leftOutInside(host: HostState, device: HostDevice): string | undefined {
  const { kind, addresses } = device;
  if (!addresses.some(isGlobal)) return 'it has no address of global scope';
  if (OVERLAY_KINDS.has(kind)) return undefined;
  const bridge = bridgeOf(host, device);
  if (kind === 'openvswitch' || (bridge !== undefined && !leadsOut(host, bridge)))
    return 'containers behind it are met on their own devices';
  if (PAIR_KINDS.has(kind) && !addresses.some((address) => isGlobal(address) && !isHostAddress(address)))
    return 'its addresses are those of no network, so it is the device of a pod';
  return undefined;
}

/** The bridge whose ports' packets the device meets: itself, that of a VLAN, or the one that its other end is a port of. */
function bridgeOf(host: HostState, device: HostDevice): HostDevice | undefined {
  const { kind, parent, peerIfindex, peerNetns } = device;
  const named = (name: string | undefined) => host.devices.find((other) => other.name === name);
  const isPair = kind === 'veth' && peerNetns === undefined;
  const peer = isPair ? host.devices.find(({ ifindex }) => ifindex === peerIfindex) : undefined;
  const bridge = kind === 'bridge' ? device : named(isPair ? peer?.master : parent);
  return bridge?.kind === 'bridge' ? bridge : undefined;
}

function leadsOut(host: HostState, bridge: HostDevice): boolean {
  return host.devices.some((port) => port.master === bridge.name && WIRE_KINDS.has(port.kind));
}

/** Of two devices that meet the same packets one is enough, whoever named them. */
function leftToAnother(host: HostState, device: HostDevice, attached: ReadonlySet<string>): string | undefined {
  const { kind, parent } = device;
  const master = masterOf(host, device);
  if (master !== undefined && attached.has(master.name)) return portOf(master);
  if (parent === undefined || !CHILD_KINDS.has(kind) || !attached.has(parent)) return undefined;
  return `its packets are met on ${parent}`;
}

/** The device whose hooks meet the packets of a port as well. A VRF is none: it has members, and they have the hooks. */
function masterOf(host: HostState, device: HostDevice): HostDevice | undefined {
  const master = host.devices.find(({ name }) => name === device.master);
  return master?.kind === 'vrf' ? undefined : master;
}

function isGlobal({ scope }: HostAddress): boolean {
  return scope === 'global';
}

/** One address, not one among others of a network. */
function isHostAddress({ address, prefix }: HostAddress): boolean {
  return prefix === (address.includes(':') ? 128 : 32);
}

/**
 * What the agent and `sluice status` tell of the devices that nothing is attached to.
 *
 * @param choices of `judgeDevices`
 * @param answers whether an address was named as one that answers NodePorts
 * @returns `unserved`: such addresses that are to be reached by such a device alone
 */
export function leftOutDevices(
  choices: readonly DeviceChoice[],
  podDevices: readonly HostDevice[],
  answers: (address: Address) => boolean,
): LeftOutDevice[] {
  const ofPods = new Set(podDevices.map(({ ifindex }) => ifindex));
  return choices.flatMap(({ device, leftOut }) => {
    const why = leftOut ?? (device.hasEthernet ? undefined : NO_ETHERNET);
    if (why === undefined || ofPods.has(device.ifindex)) return [];
    const named = device.addresses.map(({ address }) => address).filter(answers);
    return [{ device: device.name, why, unserved: why === NOT_NAMED || why === NO_ETHERNET ? named : [] }];
  });
}

/** @returns the names of --devices that do not exist, or are lo. */
export function missingDevices(host: HostState, names: readonly string[]): string[] {
  return names.filter((name) => !host.devices.some((device) => device.name === name && !device.loopback));
}

/**
 * The host's side of pods' devices. With a pattern given: those whose name it matches. Else veths and netkits
 * whose other end is in another network namespace. Node devices and lo are never among them, nor are ports of a
 * bridge that is a node device, or has one for a VLAN of it: their packets would meet the hooks twice.
 *
 * @param pattern value of --pod-devices: names with `*` and `?`, separated by commas
 */
export function selectPodDevices(host: HostState, nodeDevices: readonly HostDevice[], pattern?: string): HostDevice[] {
  const ofNode = new Set(nodeDevices.flatMap((device) => [device.name, bridgeOf(host, device)?.name ?? device.name]));
  const others = host.devices.filter(
    (device) =>
      !device.loopback && !ofNode.has(device.name) && !ofNode.has(masterOf(host, device)?.name ?? device.name),
  );
  if (pattern !== undefined) {
    const matches = globs(pattern);
    return others.filter(({ name }) => matches.some((glob) => glob.test(name)));
  }
  return others.filter(({ kind, peerNetns }) => PAIR_KINDS.has(kind) && peerNetns !== undefined);
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
