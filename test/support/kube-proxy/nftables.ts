/** Rules in the form of kube-proxy's nftables mode, for one family: input of `nft -f`. */
import { fullName, hashOf, MARK, type ProxiedPort, type ProxyNode } from './proxied.ts';

interface Parts {
  readonly sets: string[];
  readonly chains: string[];
  readonly elements: Record<
    | 'cluster-ips'
    | 'service-ips'
    | 'service-nodeports'
    | 'no-endpoint-services'
    | 'no-endpoint-nodeports'
    | 'firewall-ips',
    string[]
  >;
}

export function nftablesForm(ports: readonly ProxiedPort[], node: ProxyNode): string {
  const ip = node.family === 'IPv4' ? 'ip' : 'ip6';
  const type = node.family === 'IPv4' ? 'ipv4_addr' : 'ipv6_addr';
  const parts: Parts = {
    sets: [],
    chains: [],
    elements: {
      'cluster-ips': [],
      'service-ips': [],
      'service-nodeports': [],
      'no-endpoint-services': [],
      'no-endpoint-nodeports': [],
      'firewall-ips': [],
    },
  };
  for (const port of ports) writePort(port, node, ip, type, parts);
  const full = `type ${type} . inet_proto . inet_service : verdict;`;
  const short = 'type inet_proto . inet_service : verdict;';
  const own = node.nodePortAddresses ?? [];
  const atNode = node.nodePortAddresses
    ? `${ip} daddr @nodeport-ips`
    : `fib daddr type local ${ip} daddr != ${node.family === 'IPv4' ? '127.0.0.0/8' : '::1'}`;
  const elements = Object.entries(parts.elements)
    .filter(([, list]) => list.length > 0)
    .map(([name, list]) => `add element ${ip} kube-proxy ${name} { ${[...new Set(list)].join(', ')} }`);
  return `table ${ip} kube-proxy {
  comment "rules for kube-proxy";
  set cluster-ips { type ${type}; comment "Active ClusterIPs"; }
  set nodeport-ips { type ${type}; ${own.length === 0 ? '' : `elements = { ${own.join(', ')} }`} }
${parts.sets.join('\n')}
  map no-endpoint-services { ${full} }
  map no-endpoint-nodeports { ${short} }
  map firewall-ips { ${full} }
  map service-ips { ${full} }
  map service-nodeports { ${short} }
  chain mark-for-masquerade { mark set mark or ${MARK}; }
  chain masquerading {
    mark and ${MARK} == 0 return
    mark set mark xor ${MARK}
    masquerade fully-random
  }
  chain reject-chain { reject; }
${parts.chains.join('\n')}
  chain service-endpoints-check {
    ${ip} daddr . meta l4proto . th dport vmap @no-endpoint-services
  }
  chain nodeport-endpoints-check {
    ${atNode} meta l4proto . th dport vmap @no-endpoint-nodeports
  }
  chain firewall-check {
    ${ip} daddr . meta l4proto . th dport vmap @firewall-ips
  }
  chain cluster-ips-check {
    ${ip} daddr @cluster-ips reject comment "Reject traffic to invalid ports of ClusterIPs"
  }
  chain services {
    ${ip} daddr . meta l4proto . th dport vmap @service-ips
    ${atNode} meta l4proto . th dport vmap @service-nodeports
  }
  chain filter-prerouting {
    type filter hook prerouting priority -110
    ct state new jump firewall-check
  }
  chain filter-input {
    type filter hook input priority -110
    ct state new jump nodeport-endpoints-check
    ct state new jump service-endpoints-check
  }
  chain filter-forward {
    type filter hook forward priority -110
    ct state new jump service-endpoints-check
    ct state new jump cluster-ips-check
  }
  chain filter-output {
    type filter hook output priority -110
    ct state new jump service-endpoints-check
    ct state new jump firewall-check
  }
  chain filter-output-post-dnat {
    type filter hook output priority -90
    ct state new jump cluster-ips-check
  }
  chain nat-prerouting {
    type nat hook prerouting priority -100
    jump services
  }
  chain nat-output {
    type nat hook output priority -100
    jump services
  }
  chain nat-postrouting {
    type nat hook postrouting priority 100
    jump masquerading
  }
}
${elements.join('\n')}
`;
}

function writePort(
  port: ProxiedPort,
  node: ProxyNode,
  ip: string,
  type: string,
  { sets, chains, elements }: Parts,
): void {
  const { clusterIp, number, nodePort, endpoints, local = [], externalLocal = false } = port;
  const proto = port.protocol.toLowerCase();
  const path = `${port.namespace}/${port.service}/${proto}/${port.port}`;
  const hashed = (text: string) => `${hashOf(text, 8)}-${text}`;
  const outside = [...(port.externalIps ?? []), ...(port.balancerIps ?? [])];
  const at = (address: string) => `${address} . ${proto} . ${number} comment "${fullName(port)}"`;
  elements['cluster-ips'].push(clusterIp);
  if (endpoints.length === 0) {
    for (const address of [clusterIp, ...outside])
      elements['no-endpoint-services'].push(`${at(address)} : goto reject-chain`);
    if (nodePort !== undefined) elements['no-endpoint-nodeports'].push(`${proto} . ${nodePort} : goto reject-chain`);
    return;
  }
  const [service, external] = [`service-${hashed(path)}`, `external-${hashed(path)}`];
  const endpointChains = endpoints.map((address) => {
    const name = `${hashed(`${path}__${address.replaceAll(':', '.')}/${port.targetPort}`)}`;
    const to = address.includes(':') ? `[${address}]:${port.targetPort}` : `${address}:${port.targetPort}`;
    const affinity = port.affinitySeconds ? `    update @affinity-${name} { ${ip} saddr }\n` : '';
    if (port.affinitySeconds)
      sets.push(`  set affinity-${name} { type ${type}; flags dynamic,timeout; timeout ${port.affinitySeconds}s; }`);
    chains.push(
      `  chain endpoint-${name} {\n    ${ip} saddr ${address} jump mark-for-masquerade\n${affinity}    meta l4proto ${proto} dnat to ${to}\n  }`,
    );
    return name;
  });
  const choose = (names: readonly string[]) => {
    const kept = port.affinitySeconds
      ? names.map((name) => `    ${ip} saddr @affinity-${name} goto endpoint-${name}\n`)
      : [];
    const choices = names.map((name, k) => `${k} : goto endpoint-${name}`).join(', ');
    return `${kept.join('')}    numgen random mod ${names.length} vmap { ${choices} }`;
  };
  chains.push(
    `  chain ${service} {\n    ${ip} daddr ${clusterIp} ${proto} dport ${number} ${ip} saddr != ${node.podNetwork} jump mark-for-masquerade\n${choose(endpointChains)}\n  }`,
  );
  elements['service-ips'].push(`${at(clusterIp)} : goto ${service}`);
  if (nodePort === undefined && outside.length === 0) return;

  const mine = endpointChains.filter((_, k) => local.includes(endpoints[k] ?? ''));
  if (!externalLocal) chains.push(`  chain ${external} {\n    jump mark-for-masquerade\n    goto ${service}\n  }`);
  else {
    const last = mine.length > 0 ? `    goto local-${hashed(path)}\n` : '';
    if (mine.length > 0) chains.push(`  chain local-${hashed(path)} {\n${choose(mine)}\n  }`);
    chains.push(
      `  chain ${external} {\n    ${ip} saddr ${node.podNetwork} goto ${service} comment "short-circuit pod traffic"\n    fib saddr type local jump mark-for-masquerade comment "masquerade local traffic"\n    fib saddr type local goto ${service} comment "short-circuit local traffic"\n${last}  }`,
    );
    if (mine.length === 0) {
      for (const address of outside) elements['no-endpoint-services'].push(`${at(address)} : drop`);
      if (nodePort !== undefined) elements['no-endpoint-nodeports'].push(`${proto} . ${nodePort} : drop`);
    }
  }
  for (const address of outside) elements['service-ips'].push(`${at(address)} : goto ${external}`);
  if (nodePort !== undefined) elements['service-nodeports'].push(`${proto} . ${nodePort} : goto ${external}`);
  if (port.sourceRanges !== undefined) {
    const firewall = `firewall-${hashed(path)}`;
    chains.push(`  chain ${firewall} {\n    ${ip} saddr != { ${port.sourceRanges.join(', ')} } drop\n  }`);
    for (const address of port.balancerIps ?? []) elements['firewall-ips'].push(`${at(address)} : goto ${firewall}`);
  }
}
