/**
 * How pods hang on a node, as two kinds of CNI plugin do it:
 *
 * - `bridge`: a bridge `cni0` with the node's pod network; the pods' devices are its ports, in hairpin
 *   mode; the bridge's MAC is fixed (R-40).
 * - `routed`: no bridge; a host route per pod, and a gateway that is not there: 169.254.1.1 answered by
 *   proxy ARP, fe80::1 on each device.
 */
import {
  type Addresses,
  bridgeMac,
  eachFamily,
  HOST_BITS,
  type IpFamily,
  podAddresses,
  podNetworks,
  SUBNET_BITS,
} from './addressing.ts';
import { ipBatch, setSysctls } from './command.ts';
import { addressLines, defaultRouteLines, makeNamespaces } from './underlay.ts';

const MTU = 1500;

export type Cni = 'bridge' | 'routed';

/** Nobody has it: the pod's default route only needs a MAC to send to. */
const GATEWAY: Addresses = { IPv4: '169.254.1.1', IPv6: 'fe80::1' };

export interface PodLink {
  /** The pod's namespace. */
  readonly netns: string;
  /** The host's side of its device. */
  readonly device: string;
  readonly addresses: Addresses;
}

export interface NodeNetwork {
  readonly cni: Cni;
  /** 1 for node1 */
  readonly n: number;
  readonly netns: string;
  readonly families: readonly IpFamily[];
  /** What pods' devices take, in bytes; default: 1500. */
  readonly mtu?: number | undefined;
}

/** Name of the host's side of a pod's device, as CNI plugins choose them. @param host as in podAddresses */
export function podDevice(cni: Cni, n: number, host: number): string {
  const tail = n.toString(16).padStart(4, '0') + host.toString(16).padStart(4, '0');
  return `${cni === 'bridge' ? 'veth' : 'cali'}${tail}`;
}

/** Prepares a node for pods: the bridge, or a blackhole for addresses that no pod has. */
export async function prepareNode(node: NodeNetwork): Promise<void> {
  if (node.cni === 'routed') {
    const networks = eachFamily(podNetworks(node.n, node.families));
    await ipBatch(
      node.netns,
      networks.map(([family, network]) => `route add blackhole ${network}/${SUBNET_BITS[family]}`),
    );
    return;
  }
  await ipBatch(node.netns, [
    `link add cni0 address ${bridgeMac(node.n)} type bridge`,
    ...addressLines('cni0', podAddresses(node.n, 1, node.families), SUBNET_BITS),
    `link set cni0 mtu ${node.mtu ?? MTU} up`,
  ]);
}

/** Makes the pods' namespaces and connects them to the node. */
export async function addPodLinks(node: NodeNetwork, pods: readonly PodLink[]): Promise<void> {
  await makeNamespaces(pods.map((pod) => pod.netns));
  await ipBatch(
    node.netns,
    pods.flatMap((pod) => hostSide(node, pod)),
  );
  if (node.cni === 'routed') {
    const proxyArp = pods.map((pod) => [
      [`net/ipv4/conf/${pod.device}/proxy_arp`, 1],
      [`net/ipv4/neigh/${pod.device}/proxy_delay`, 0],
    ]);
    await setSysctls(node.netns, Object.fromEntries(proxyArp.flat()));
  }
  await Promise.all(pods.map((pod) => ipBatch(pod.netns, podSide(node, pod))));
}

function hostSide(node: NodeNetwork, pod: PodLink): string[] {
  const mtu = node.mtu ?? MTU;
  const make = `link add ${pod.device} mtu ${mtu} type veth peer name eth0 mtu ${mtu} netns ${pod.netns}`;
  if (node.cni === 'bridge') {
    return [make, `link set ${pod.device} master cni0 up`, `link set ${pod.device} type bridge_slave hairpin on`];
  }
  return [
    make,
    `link set ${pod.device} up`,
    ...(pod.addresses.IPv6 === undefined ? [] : [`addr add ${GATEWAY.IPv6}/64 dev ${pod.device} nodad`]),
    ...eachFamily(pod.addresses).map(
      ([family, address]) => `route add ${address}/${HOST_BITS[family]} dev ${pod.device}`,
    ),
  ];
}

function podSide(node: NodeNetwork, pod: PodLink): string[] {
  if (node.cni === 'bridge') {
    return [
      ...addressLines('eth0', pod.addresses, SUBNET_BITS),
      'link set eth0 up',
      ...defaultRouteLines('eth0', podAddresses(node.n, 1, node.families)),
    ];
  }
  const gateways = Object.fromEntries(eachFamily(pod.addresses).map(([family]) => [family, GATEWAY[family]]));
  return [
    ...addressLines('eth0', pod.addresses, HOST_BITS),
    'link set eth0 up',
    ...(pod.addresses.IPv4 === undefined ? [] : [`route add ${GATEWAY.IPv4}/32 dev eth0 scope link`]),
    ...defaultRouteLines('eth0', gateways),
  ];
}
