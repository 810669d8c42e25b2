/** What the node is at the moment: the Node object and the host's devices, as rows and as context. */

import type { AddressRules } from '../compile/address-rules.ts';
import type { NodeContext } from '../compile/context.ts';
import { isNamedForNodePorts, type NodeAddress, nodeAddresses } from '../host/addresses.ts';
import { type DeviceRow, deviceRows } from '../host/device-rows.ts';
import { detectLocalImplemented, podCidrs, primaryAddresses, statusAddresses } from '../host/node.ts';
import type { PeerState } from '../host/peers.ts';
import { planXdp, type XdpPlan } from '../host/plan-xdp.ts';
import {
  judgeDevices,
  type LeftOutDevice,
  leftOutDevices,
  missingDevices,
  selectPodDevices,
} from '../host/select-devices.ts';
import type { HostDevice, HostState } from '../host/state.ts';
import { type Address, familyOf } from '../model/address.ts';
import type { Algorithm } from '../model/algorithm.ts';
import { parseCidr } from '../model/cidr.ts';
import type { Cidr } from '../model/compiled.ts';
import type { Configuration } from '../model/configuration.ts';
import type { ForwardingOptions } from '../model/forwarding.ts';
import type { Node } from '../model/kubernetes.ts';
import type { PortRange } from '../model/ports.ts';
import type { XdpMode } from '../model/xdp.ts';

export interface NodeViewOptions {
  readonly nodeName: string;
  readonly configuration: Configuration;
  /** `--devices` */
  readonly devices?: readonly string[] | undefined;
  /** `--pod-devices` */
  readonly podDevices?: string | undefined;
  readonly forwarding: ForwardingOptions;
  /** How backends are chosen where a Service does not say; undefined: as the configuration says. */
  readonly algorithm?: Algorithm | undefined;
  readonly xdp: XdpMode;
  /** Which external addresses Services may have; absent: as without flags. */
  readonly externalAddresses?: {
    readonly refuseExternalIps: boolean;
    readonly refuseNodeAddresses: boolean;
    readonly allowReserved: boolean;
  };
  /** Where the API server is reached. */
  readonly apiServers?: readonly { readonly address: Address; readonly port: number }[];
}

/** Does the administrator let this node send or take packets in direct server return, and know the other nodes for it? */
export function takesDirectReturn({ mode, watchNodes }: ForwardingOptions): boolean {
  return mode !== 'snat' || watchNodes;
}

export interface NodeView {
  readonly nodeDevices: readonly HostDevice[];
  readonly podDevices: readonly HostDevice[];
  /** For each device by which traffic from outside enters. */
  readonly xdp: readonly XdpPlan[];
  /** Names given by `--devices` that are not there. */
  readonly missing: readonly string[];
  /** Devices with addresses or a default route that nothing is attached to. */
  readonly leftOut: readonly LeftOutDevice[];
  readonly addresses: readonly NodeAddress[];
  readonly deviceRows: readonly DeviceRow[];
  readonly podCidrs: readonly Cidr[];
  /** Addresses of the other nodes; undefined while they are not watched: those of before stay in force. */
  readonly peers: readonly Address[] | undefined;
  /** Where cluster IPs are allocated; none when it is not known. */
  readonly serviceCidrs: readonly Cidr[];
  /** What source NAT leaves alone. */
  readonly reservedPorts: readonly PortRange[];
  readonly context: NodeContext;
}

/** Pure: the same inputs give the same view. Devices without Ethernet frames cannot be attached to. */
export function viewNode(
  host: HostState,
  node: Node | undefined,
  peers: PeerState | undefined,
  serviceCidrs: readonly string[],
  options: NodeViewOptions,
): NodeView {
  const { configuration } = options;
  const direct = takesDirectReturn(options.forwarding);
  // Watched only so that Services are refused their addresses: nothing is taken from them.
  const trusted = direct || options.externalAddresses?.refuseNodeAddresses !== true ? peers : undefined;
  const choices = judgeDevices(host, node, options.devices);
  const entrances = choices.filter(({ leftOut }) => leftOut === undefined).map(({ device }) => device);
  const nodeDevices = entrances.filter(({ hasEthernet }) => hasEthernet);
  const podDevices = selectPodDevices(host, nodeDevices, options.podDevices).filter(({ hasEthernet }) => hasEthernet);
  const addresses = nodeAddresses(host, node, configuration);
  return {
    nodeDevices,
    podDevices,
    xdp: planXdp(entrances, options.xdp),
    missing: missingDevices(host, options.devices ?? []),
    leftOut: leftOutDevices(choices, podDevices, (address) => isNamedForNodePorts(address, configuration)),
    addresses,
    deviceRows: deviceRows(host, nodeDevices, podDevices, node, configuration),
    podCidrs: podCidrs(configuration, node),
    peers: trusted?.addresses,
    serviceCidrs: serviceCidrs.flatMap((text) => parseCidr(text) ?? []),
    reservedPorts: host.reservedPorts,
    context: {
      nodeName: options.nodeName,
      nodeLabels: node?.metadata?.labels ?? {},
      nodeAddresses: sendingAddresses(nodeDevices, node, configuration),
      masqueradeAll: configuration.masqueradeAll,
      detectLocal: detectLocalImplemented(configuration, node),
      algorithm: options.algorithm ?? configuration.algorithm,
      forwardingMode: options.forwarding.mode,
      ownAddresses: primaryAddresses(node, configuration),
      mayChooseDirect: direct,
      ...(trusted !== undefined && { peers: trusted.primary }),
      addressRules: addressRules(host, node, peers, options),
      routerIpMode: configuration.routerIpMode,
      families: ['IPv4', 'IPv6'],
    },
  };
}

function addressRules(
  host: HostState,
  node: Node | undefined,
  peers: PeerState | undefined,
  { externalAddresses, apiServers = [] }: NodeViewOptions,
): AddressRules {
  const here = host.devices.flatMap((device) => device.addresses.map(({ address }) => address));
  const all = [...here, ...statusAddresses(node), ...(peers?.addresses ?? [])];
  return {
    apiServers,
    allowReserved: externalAddresses?.allowReserved === true,
    refuseExternalIps: externalAddresses?.refuseExternalIps === true,
    ...(externalAddresses?.refuseNodeAddresses && { nodeAddresses: [...new Set(all)].sort() }),
  };
}

/**
 * What the node sends from, for R-63: its primary addresses, as in kube-proxy; in a family without one, those
 * of its devices. The bridge of the pods is no such device: a range of pods does not let the node in.
 */
function sendingAddresses(
  devices: readonly HostDevice[],
  node: Node | undefined,
  configuration: Configuration,
): readonly Address[] {
  const primary = primaryAddresses(node, configuration);
  const here = devices.flatMap((device) => device.addresses.map(({ address }) => address));
  return [...Object.values(primary), ...here.filter((address) => primary[familyOf(address)] === undefined)];
}
