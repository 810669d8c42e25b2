/** The node's addresses: which are its own, and which answer NodePorts. */
import { NODE_ADDRESS_BROADCAST, NODE_ADDRESS_LOCAL, NODE_ADDRESS_NODE_PORT } from '../../maps-schema/gen/codecs.ts';
import { type Address, type Family, familyOf } from '../model/address.ts';
import { cidrContains } from '../model/cidr.ts';
import type { Cidr } from '../model/compiled.ts';
import type { Configuration } from '../model/configuration.ts';
import type { Node } from '../model/kubernetes.ts';
import { primaryAddresses } from './node.ts';
import type { HostState } from './state.ts';

/** A row of the map node_addresses. */
export interface NodeAddress {
  readonly address: Address;
  /** Mask of NODE_ADDRESS_*. */
  readonly flags: number;
}

type Settings = Pick<Configuration, 'nodePortAddresses' | 'bindAddress'>;

const FAMILIES: readonly Family[] = ['IPv4', 'IPv6'];
const EVERY: Readonly<Record<Family, readonly Cidr[]>> = {
  IPv4: [{ address: '0.0.0.0', bits: 0 }],
  IPv6: [{ address: '::', bits: 0 }],
};
const LOOPBACK: Cidr = { address: '127.0.0.0', bits: 8 };
const LINK_LOCAL: Cidr = { address: 'fe80::', bits: 10 };

/**
 * Every address of every device, and the broadcast addresses of their networks, each once, in order. The first are
 * LOCAL, the others BROADCAST alone; NODE_PORT are those of R-53, as
 * kube-proxy chooses them: link-local ones too when the networks hold them, loopback ones never,
 * for 127.0.0.0/8 is served by the socket hook alone and ::1 not at all.
 */
export function nodeAddresses(host: HostState, node: Node | undefined, settings: Settings): NodeAddress[] {
  const networks = nodePortNetworks(node, settings);
  const addresses = new Set(host.devices.flatMap((device) => device.addresses.map(({ address }) => address)));
  const broadcasts = new Set(host.devices.flatMap((device) => device.addresses.flatMap((a) => a.broadcast ?? [])));
  return [...new Set([...addresses, ...broadcasts])].sort().map((address) => {
    if (!addresses.has(address)) return { address, flags: NODE_ADDRESS_BROADCAST };
    const answers =
      !isLoopback(address) && networks[familyOf(address)].some((network) => cidrContains(network, address));
    return { address, flags: NODE_ADDRESS_LOCAL | (answers ? NODE_ADDRESS_NODE_PORT : 0) };
  });
}

/**
 * The networks whose addresses answer NodePorts. A family for which the Node object has no primary
 * address has no restriction, as in kube-proxy.
 */
export function nodePortNetworks(node: Node | undefined, settings: Settings): Record<Family, readonly Cidr[]> {
  const { nodePortAddresses } = settings;
  if (!nodePortAddresses.primary) return { IPv4: nodePortAddresses.IPv4, IPv6: nodePortAddresses.IPv6 };
  const primary = primaryAddresses(node, settings);
  const only = (family: Family, bits: number): readonly Cidr[] => {
    const address = primary[family];
    return address === undefined || isLoopback(address) ? EVERY[family] : [{ address, bits }];
  };
  return { IPv4: only('IPv4', 32), IPv6: only('IPv6', 128) };
}

/** Does `nodePortAddresses` name a network, not every one, that holds the address? */
export function isNamedForNodePorts(address: Address, { nodePortAddresses }: Settings): boolean {
  const networks = nodePortAddresses.primary ? [] : nodePortAddresses[familyOf(address)];
  return networks.some((network) => network.bits > 0 && cidrContains(network, address));
}

/**
 * Where health check node ports listen: the wildcard address of a family that is not
 * restricted, else each address of the node in its networks, as in kube-proxy: loopback ones too, though no NodePort
 * is there. Link-local ones are left out, for they name no one place.
 */
export function healthCheckAddresses(host: HostState, node: Node | undefined, settings: Settings): Address[] {
  const networks = nodePortNetworks(node, settings);
  const own = nodeAddresses(host, node, settings).map(({ address }) => address);
  return FAMILIES.flatMap((family) => {
    if (networks[family].some(({ bits }) => bits === 0)) return [family === 'IPv4' ? '0.0.0.0' : '::'];
    return own.filter(
      (address) =>
        networks[family].some((network) => cidrContains(network, address)) && !cidrContains(LINK_LOCAL, address),
    );
  });
}

function isLoopback(address: Address): boolean {
  return address === '::1' || cidrContains(LOOPBACK, address);
}
