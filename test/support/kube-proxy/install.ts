/** Puts rules in kube-proxy's form on a node of the lab, for Services of the cluster tests. */
import { addressesOf, nodePortOf, POD_PORTS, SERVICE_PORTS } from '../cluster/objects.ts';
import { POD_CIDRS } from '../lab/addressing.ts';
import type { LabNode, Pod } from '../lab/node.ts';
import { iptablesForm } from './iptables.ts';
import { nftablesForm } from './nftables.ts';
import type { ProxiedPort } from './proxied.ts';

export type Form = 'iptables' | 'nftables';
const FAMILIES = ['IPv4', 'IPv6'] as const;

/** The ports of `service(name, n)` that lead to pods, as kube-proxy on a node sees them. */
export function portsOf(name: string, n: number, pods: readonly Pod[], node: LabNode, family: 'IPv4' | 'IPv6') {
  const { clusterIp, externalIp, balancerIp } = addressesOf(n);
  const address = (pod: Pod) => (family === 'IPv4' ? pod.ipv4 : pod.ipv6);
  return (['http', 'tcp', 'udp'] as const).map(
    (port): ProxiedPort => ({
      namespace: 'default',
      service: name,
      port,
      protocol: port === 'udp' ? 'UDP' : 'TCP',
      clusterIp: clusterIp[family],
      number: SERVICE_PORTS[port],
      nodePort: nodePortOf(n) + (port === 'tcp' ? 100 : 0),
      externalIps: [externalIp[family]],
      balancerIps: [balancerIp[family]],
      targetPort: POD_PORTS[port],
      endpoints: pods.map(address),
      local: pods.filter((pod) => pod.node === node).map(address),
    }),
  );
}

/** @param services by name, number and pods. @throws Error with what the tool says */
export async function installRules(
  node: LabNode,
  form: Form,
  services: readonly (readonly [name: string, n: number, pods: readonly Pod[]])[],
): Promise<void> {
  for (const family of FAMILIES) {
    const ports = services.flatMap(([name, n, pods]) => portsOf(name, n, pods, node, family));
    const proxy = { family, podNetwork: POD_CIDRS[family] };
    if (form === 'iptables') {
      const restore = family === 'IPv4' ? 'iptables-restore' : 'ip6tables-restore';
      await node.run([restore, '--noflush'], { input: iptablesForm(ports, proxy) });
    } else {
      await node.run(['nft', '-f', '-'], { input: nftablesForm(ports, proxy) });
    }
  }
}
