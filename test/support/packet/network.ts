/**
 * The node as the packet tests see it, in a network namespace of the test's own: a node device, a
 * device that leads to the pods, routes, and neighbours that never expire, so that a FIB lookup
 * always knows the next hop.
 */
import { execFileSync } from 'node:child_process';
import { enterNamespace, ifindexOf, run } from '../../kernel/bpf/rig.ts';

/** By family: 4 or 6. */
export const NODE = { 4: '192.0.2.1', 6: '2001:db8:1::1' } as const;
/** An address of the node on which NodePorts do not answer. */
export const NODE_SECOND = { 4: '192.0.2.77', 6: '2001:db8:1::77' } as const;
/** An address that MASQUERADE takes on the pods' device. */
export const BRIDGE = { 4: '10.1.1.1', 6: 'fd00:1:1::1' } as const;
/** A client outside the cluster. */
export const CLIENT = { 4: '198.51.100.9', 6: '2001:db8:9::9' } as const;
/** Pods on this node. */
export const POD = { 4: '10.1.1.5', 6: 'fd00:1:1::5' } as const;
export const OTHER_POD = { 4: '10.1.1.6', 6: 'fd00:1:1::6' } as const;
/** A pod on another node. */
export const REMOTE_POD = { 4: '10.1.2.5', 6: 'fd00:1:2::5' } as const;
/** A pod on another node, to which `second0` leads. */
export const SECOND_POD = { 4: '10.1.8.5', 6: 'fd00:1:8::5' } as const;
/** A destination whose route says that it cannot be reached. */
export const NOWHERE = { 4: '10.99.0.5', 6: 'fd00:99::5' } as const;
/** A destination that no route has. */
export const NO_ROUTE = { 4: '10.97.0.5', 6: 'fd00:97::5' } as const;
/** A destination whose route takes NARROW_MTU bytes. */
export const BEHIND_NARROW = { 4: '10.96.128.5', 6: 'fd00:96::5' } as const;
export const NARROW_MTU = 1400;
/** A destination behind a device without a masquerade address. */
export const BEHIND_BARE = { 4: '10.98.0.5', 6: 'fd00:98::5' } as const;

export const MACS = {
  /** Where the frames of the builder go. */
  node: '02:00:00:00:00:bb',
  gateway: '02:00:00:00:01:fe',
  neighbour: '02:00:00:00:01:02',
  bridge: '02:00:00:00:02:01',
  pod: '02:00:00:00:02:05',
} as const;

/** Names of the devices. `strange` and `second0` are ones that the agent has not described. */
export type DeviceName = 'node0' | 'pod0' | 'strange' | 'second0';

export interface Network {
  ifindex(device: DeviceName): number;
  remove(): void;
}

/** Lines for `ip -batch -`. */
const SETUP = `
link add node0 address ${MACS.node} type veth peer name node0-peer
link add pod0 address ${MACS.bridge} type veth peer name pod0-peer
link add strange type veth peer name strange-peer
link add second0 type veth peer name second0-peer
link add bare0 type veth peer name bare0-peer
link set node0-peer up
link set pod0-peer up
link set strange-peer up
link set second0-peer up
link set bare0-peer up
link set node0 up
link set pod0 up
link set strange up
link set second0 up
link set bare0 up
addr add ${NODE[4]}/24 dev node0
addr add ${NODE_SECOND[4]}/24 dev node0
addr add ${BRIDGE[4]}/24 dev pod0
addr add ${NODE[6]}/64 dev node0 nodad
addr add ${NODE_SECOND[6]}/64 dev node0 nodad
addr add ${BRIDGE[6]}/64 dev pod0 nodad
neigh add 192.0.2.254 lladdr ${MACS.gateway} dev node0
neigh add 192.0.2.2 lladdr ${MACS.neighbour} dev node0
neigh add ${POD[4]} lladdr ${MACS.pod} dev pod0
neigh add 2001:db8:1::fe lladdr ${MACS.gateway} dev node0
neigh add 2001:db8:1::2 lladdr ${MACS.neighbour} dev node0
neigh add ${POD[6]} lladdr ${MACS.pod} dev pod0
route add default via 192.0.2.254 dev node0
route add 10.1.2.0/24 via 192.0.2.2 dev node0
route add unreachable 10.99.0.0/16
route add throw 10.97.0.0/16
route add 10.96.128.0/24 via 192.0.2.2 dev node0 mtu lock ${NARROW_MTU}
route add 10.98.0.0/16 dev bare0
route add 10.1.8.0/24 dev second0
route add 172.20.0.0/24 dev pod0
route add ::/0 via 2001:db8:1::fe dev node0
route add fd00:1:2::/64 via 2001:db8:1::2 dev node0
route add unreachable fd00:99::/64
route add throw fd00:97::/64
route add fd00:96::/64 via 2001:db8:1::2 dev node0 mtu lock ${NARROW_MTU}
route add fd00:98::/64 dev bare0
route add fd00:1:8::/64 dev second0
route add fd77::/64 dev pod0
`;

/** Enters the namespace; `remove` leaves it, which is its end. */
export function createNetwork(): Network {
  const namespace = enterNamespace();
  try {
    // The thread's own namespace: what is written here concerns this test's node alone.
    run('sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
    execFileSync('ip', ['-batch', '-'], { input: SETUP, stdio: ['pipe', 'pipe', 'pipe'] });
    const indices = new Map((['node0', 'pod0', 'strange', 'second0'] as const).map((name) => [name, ifindexOf(name)]));
    return { ifindex: (device) => indices.get(device) ?? 0, remove: () => namespace.leave() };
  } catch (error) {
    namespace.leave();
    throw error;
  }
}
