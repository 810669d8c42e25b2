/** What the network namespace that the agent runs in looks like: plain data. */
import type { Address, Family } from '../model/address.ts';
import type { PortRange } from '../model/ports.ts';

export interface HostAddress {
  readonly address: Address;
  /** Prefix length in bits. */
  readonly prefix: number;
  readonly scope: string;
  /** IPv4: another address of the same network comes before it. */
  readonly secondary: boolean;
  /** IPv6: its life time is over, it is for old connections. */
  readonly deprecated: boolean;
  /** IPv6: duplicate address detection has not ended, or found another owner. */
  readonly unusable: boolean;
  /** IPv6: a privacy address. */
  readonly temporary: boolean;
  /** IPv4: the address that reaches all hosts of the network; absent where there is none. */
  readonly broadcast?: Address;
}

export interface HostDevice {
  readonly ifindex: number;
  readonly name: string;
  /** Kind as `ip link` names it: veth, bridge, vxlan, bond, vlan, …; "" for a physical device and lo. */
  readonly kind: string;
  readonly loopback: boolean;
  /** Frames carry an Ethernet header. */
  readonly hasEthernet: boolean;
  /** Name of the bridge, bond or VRF that it belongs to. */
  readonly master: string | undefined;
  /** macvlan, VLAN and the like: name of the device that it is on, when that is in this namespace. */
  readonly parent: string | undefined;
  /** veth, netkit: index of the other end, in its own namespace. */
  readonly peerIfindex: number | undefined;
  /** veth, netkit: number of the other end's namespace; undefined when that is this one. */
  readonly peerNetns: number | undefined;
  /** Bytes. */
  readonly mtu: number;
  /** "" when it has none. */
  readonly mac: string;
  readonly up: boolean;
  /** In the kernel's order, which decides what source address is chosen. */
  readonly addresses: readonly HostAddress[];
}

export interface DefaultRoute {
  readonly family: Family;
  /** Name of the device. */
  readonly device: string;
  readonly gateway: Address | undefined;
}

/** Its part that iproute2 tells. */
export interface HostNetwork {
  /** By ifindex. */
  readonly devices: readonly HostDevice[];
  /** Of all routing tables. */
  readonly defaultRoutes: readonly DefaultRoute[];
}

export interface HostState extends HostNetwork {
  /** net.ipv4.ip_local_reserved_ports */
  readonly reservedPorts: readonly PortRange[];
}
