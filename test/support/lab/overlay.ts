/**
 * Pods of other nodes behind a VXLAN device, as flannel makes it: one device a node that learns nothing; for
 * each peer a route by its overlay address, which has a MAC in a permanent neighbour entry, which has the
 * peer's own address in a permanent forwarding entry.
 *
 *   node1  flannel.1 10.244.1.0/32    10.244.2.0/24 via 10.244.2.0 onlink ── UDP 8472 ──► node2
 */
import {
  eachFamily,
  HOST_BITS,
  type IpFamily,
  nodeAddresses,
  OVERLAY_DEVICE,
  OVERLAY_MTU,
  podNetworks,
  SUBNET_BITS,
} from './addressing.ts';
import { ipBatch, run } from './command.ts';
import { addressLines } from './underlay.ts';

const VNI = 1;
const PORT = 8472;

/** The MAC of node n's overlay device. */
export function overlayMac(n: number): string {
  return `0e:00:00:00:00:${n.toString(16).padStart(2, '0')}`;
}

/** The address by which the nodes' tunnels reach each other: one family carries both. */
function outerAddress(n: number, families: readonly IpFamily[]): string {
  const { IPv4, IPv6 } = nodeAddresses(n, families);
  return IPv4 ?? IPv6 ?? '';
}

/** `ip` lines by which node n reaches peer's pods; "neigh" and "route" as in the drawing. */
export function overlayPeerLines(peer: number, families: readonly IpFamily[]): string[] {
  return eachFamily(podNetworks(peer, families)).flatMap(([family, network]) => [
    `neigh replace ${network} lladdr ${overlayMac(peer)} dev ${OVERLAY_DEVICE} nud permanent`,
    `route replace ${network}/${SUBNET_BITS[family]} via ${network} dev ${OVERLAY_DEVICE} onlink`,
  ]);
}

/** Makes the device of node n, of nodes 1 to count, and its ways to the others. */
export async function makeOverlay(
  netns: string,
  n: number,
  count: number,
  families: readonly IpFamily[],
): Promise<void> {
  const peers = Array.from({ length: count }, (_, i) => i + 1).filter((peer) => peer !== n);
  const local = outerAddress(n, families);
  await ipBatch(netns, [
    `link add ${OVERLAY_DEVICE} mtu ${OVERLAY_MTU} address ${overlayMac(n)} type vxlan id ${VNI} local ${local} dev eth0 dstport ${PORT} nolearning`,
    ...addressLines(OVERLAY_DEVICE, podNetworks(n, families), HOST_BITS),
    `link set ${OVERLAY_DEVICE} up`,
    ...peers.flatMap((peer) => overlayPeerLines(peer, families)),
  ]);
  const entries = peers.map(
    (peer) =>
      `fdb replace ${overlayMac(peer)} dev ${OVERLAY_DEVICE} dst ${outerAddress(peer, families)} self permanent`,
  );
  await run('bridge', ['-n', netns, '-batch', '-'], `${entries.join('\n')}\n`);
}
