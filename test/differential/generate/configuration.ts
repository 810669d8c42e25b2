/** Random settings, and the Node object. */
import type { Node } from '../../../src/model/kubernetes.ts';
import { NODE } from '../../support/packet/network.ts';
import type { ProxyConfiguration } from '../case.ts';
import { BALANCER_IPS, CLUSTER_CIDR, EXTERNAL_IPS, POD_CIDR, THIS_NODE } from '../world.ts';
import { type Choose, without } from './choose.ts';

type DetectLocal = Pick<ProxyConfiguration, 'detectLocalMode' | 'detectLocal' | 'clusterCIDR'>;

function detectLocal({ one }: Choose): DetectLocal {
  const clusterCIDR = one(
    undefined,
    CLUSTER_CIDR[4],
    CLUSTER_CIDR[6],
    `${CLUSTER_CIDR[4]},${CLUSTER_CIDR[6]}`,
    `${CLUSTER_CIDR[6]},${CLUSTER_CIDR[4]}`,
    POD_CIDR[4],
  );
  const detectLocalMode = one(
    undefined,
    'ClusterCIDR',
    'ClusterCIDR',
    'NodeCIDR',
    'BridgeInterface',
    'InterfaceNamePrefix',
  );
  switch (detectLocalMode) {
    case 'BridgeInterface':
      return { detectLocalMode, detectLocal: { bridgeInterface: one('pod0', 'pod0', 'cni0', 'node0') }, clusterCIDR };
    case 'InterfaceNamePrefix':
      return { detectLocalMode, detectLocal: { interfaceNamePrefix: one('pod', 'pod', 'veth', 'node') }, clusterCIDR };
    default:
      return { detectLocalMode, clusterCIDR };
  }
}

export function generateConfiguration(random: Choose): ProxyConfiguration {
  const { one, oneIn } = random;
  return without({
    mode: one(undefined, undefined, 'nftables', 'iptables', 'ipvs'),
    iptables: {
      masqueradeAll: one(undefined, undefined, false, oneIn(2)),
      localhostNodePorts: one(undefined, undefined, true, false),
    },
    nftables: { masqueradeAll: one(undefined, undefined, false, true) },
    nodePortAddresses: one(
      undefined,
      undefined,
      ['primary'],
      ['0.0.0.0/0'],
      ['192.0.2.0/24'],
      ['192.0.2.77/32', '2001:db8:1::/64'],
      ['10.1.0.0/16', '::/0'],
      ['2001:db8:1::77/128'],
      ['192.0.2.77/32', '0.0.0.0/0'],
      ['127.0.0.0/8', '192.0.2.1/32'],
    ),
    ...detectLocal(random),
  });
}

export function generateNode({ one, oneIn }: Choose): Node {
  const addresses = [
    { type: 'Hostname', address: THIS_NODE },
    ...[NODE[4], NODE[6]].map((address) => ({ type: 'InternalIP', address })),
  ];
  const podCIDRs = one(
    [POD_CIDR[4], POD_CIDR[6]],
    [POD_CIDR[4], POD_CIDR[6]],
    [POD_CIDR[4]],
    [POD_CIDR[6]],
    ['10.1.7.0/24'],
    undefined,
  );
  return without({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name: THIS_NODE,
      labels: { 'topology.kubernetes.io/zone': one('zone-a', 'zone-a', 'zone-b', undefined) as string },
    },
    spec: podCIDRs && { podCIDR: podCIDRs[0] as string, podCIDRs },
    status: { addresses: oneIn(8) ? addresses.slice(0, 2) : addresses },
  });
}

/** Addresses of Services that are bound on the node as well. */
export function generateBound({ oneIn, some }: Choose): string[] {
  if (!oneIn(4)) return [];
  return some(
    [...EXTERNAL_IPS, ...BALANCER_IPS].flatMap((address) => [address[4], address[6]]),
    4,
  );
}
