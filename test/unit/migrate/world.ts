/** A node with Services of every kind, as kube-proxy has them and as our tables do. */

import type { Surroundings } from '../../../src/migrate/compare.ts';
import type { OurFrontend } from '../../../src/migrate/ours.ts';
import { endpointText } from '../../../src/migrate/rules.ts';
import type { Family } from '../../../src/model/address.ts';
import { fullName, type ProxiedPort, type ProxyNode } from '../../support/kube-proxy/proxied.ts';

/** What differs between the families. */
const NETWORKS = {
  IPv4: {
    cluster: (n: number) => `10.96.0.${n}`,
    external: (n: number) => `198.51.100.${n}`,
    balancer: (n: number) => `203.0.113.${n}`,
    pods: '10.244.0.0/16',
    pod: (n: number) => `10.244.${n}.2`,
    node: '172.30.0.11',
    ranges: ['172.31.0.0/24', '192.168.7.0/28'],
  },
  IPv6: {
    cluster: (n: number) => `fd96::${n}`,
    external: (n: number) => `fd15::${n}`,
    balancer: (n: number) => `fd13::${n}`,
    pods: 'fd44::/48',
    pod: (n: number) => `fd44:0:0:${n}::2`,
    node: 'fd30::11',
    ranges: ['fd31::/64'],
  },
} as const;

export function proxyNode(family: Family): ProxyNode {
  return { family, podNetwork: NETWORKS[family].pods };
}

/** Pods 1 to 3 serve; the first is on this node. */
export function proxiedPorts(family: Family): ProxiedPort[] {
  const { cluster, external, balancer, pod, ranges } = NETWORKS[family];
  const port = (service: string, n: number, more: Partial<ProxiedPort> = {}): ProxiedPort => ({
    namespace: 'shop',
    service,
    port: 'http',
    protocol: 'TCP',
    clusterIp: cluster(n),
    number: 80,
    nodePort: 30_000 + n,
    externalIps: [external(n)],
    balancerIps: [balancer(n)],
    targetPort: 8080,
    endpoints: [pod(1), pod(2), pod(3)],
    local: [pod(1)],
    ...more,
  });
  return [
    port('web', 1),
    port('web', 1, { port: 'dns', protocol: 'UDP', number: 53, targetPort: 5353 }),
    port('here', 2, { externalLocal: true }),
    port('away', 3, { externalLocal: true, endpoints: [pod(2)], local: [] }),
    port('sticky', 4, { affinitySeconds: 600 }),
    port('closed', 5, { sourceRanges: ranges }),
    port('empty', 6, { endpoints: [], local: [] }),
    {
      namespace: 'shop',
      service: 'inner',
      port: '',
      protocol: 'TCP',
      clusterIp: cluster(7),
      number: 443,
      targetPort: 8443,
      endpoints: [pod(2)],
    },
  ];
}

/** Rows that mean the same. */
export function ourFrontends(ports: readonly ProxiedPort[], family: Family): OurFrontend[] {
  return ports.flatMap((port): OurFrontend[] => {
    const to = (addresses: readonly string[]) => addresses.map((one) => endpointText(one, port.targetPort)).sort();
    const all = to(port.endpoints);
    const local = port.externalLocal === true;
    const base = {
      name: fullName(port),
      port: port.number,
      protocol: port.protocol,
      internal: all,
      external: all,
      internalDrop: false,
      externalDrop: false,
      router: false,
      affinitySeconds: port.affinitySeconds ?? 0,
      nodeAllowed: false,
    };
    const outside = {
      ...base,
      external: local ? to(port.local ?? []) : all,
      externalDrop: local && port.local?.length === 0,
      masquerade: { pod: !local, node: true, outside: !local },
    };
    return [
      { ...base, address: port.clusterIp, masquerade: { pod: false, node: true, outside: true } },
      ...(port.externalIps ?? []).map((address) => ({ ...outside, address })),
      ...(port.balancerIps ?? []).map((address) => ({
        ...outside,
        address,
        ...(port.sourceRanges && { sourceRanges: port.sourceRanges }),
      })),
      ...(port.nodePort === undefined
        ? []
        : [{ ...outside, address: family === 'IPv4' ? '0.0.0.0' : '::', port: port.nodePort }]),
    ];
  });
}

export function nodeAddress(family: Family): string {
  return NETWORKS[family].node;
}

export function surroundings(): Surroundings {
  const source = (family: Family) => ({
    pod: { client: 'pod', address: family === 'IPv4' ? '10.244.1.77' : 'fd44:0:0:1::77', device: 'veth1' } as const,
    node: { client: 'node', address: NETWORKS[family].node, device: '' } as const,
    outside: { client: 'outside', address: family === 'IPv4' ? '198.18.0.9' : '2001:db8::9', device: 'eth0' } as const,
  });
  const nodes = [NETWORKS.IPv4.node, NETWORKS.IPv6.node];
  return {
    local: new Set(nodes),
    sources: { IPv4: source('IPv4'), IPv6: source('IPv6') },
    podNetworks: [
      { address: '10.244.0.0', bits: 16 },
      { address: 'fd44::', bits: 48 },
    ],
    nodePortAddresses: nodes,
  };
}
