/**
 * The table that kube-proxy's nftables mode would write for IPv4, in the layout of its source
 * (pkg/proxy/nftables/proxier.go): one verdict map from address, protocol and port to a chain of the
 * Service, one from NodePorts; endpoints by `numgen random`; masquerading by a mark.
 */
import { createHash } from 'node:crypto';
import { base32 } from './base32.ts';
import type { RuleOptions } from './iptables.ts';
import { type ModelPort, type ModelService, POD_CIDR, SERVICE_CIDR } from './model.ts';

export interface NftablesOptions extends RuleOptions {
  /** Addresses of the node that answer NodePorts. */
  readonly nodeIps: readonly string[];
}

const MARK = '0x4000';

/** `ULMVA6XW-ns1/svc1/tcp/p80` */
function hashed(text: string): string {
  return `${base32(createHash('sha256').update(text).digest()).slice(0, 8)}-${text}`;
}

interface Table {
  readonly chains: string[];
  readonly serviceIps: string[];
  readonly nodePorts: string[];
}

const BASE_CHAINS = `
  chain masquerading {
    mark and ${MARK} == 0 return
    mark set mark xor ${MARK}
    masquerade fully-random
  }
  chain reject-chain { reject; }
  chain service-endpoints-check {
    ip daddr . meta l4proto . th dport vmap @no-endpoint-services
  }
  chain nodeport-endpoints-check {
    ip daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports
  }
  chain firewall-check {
    ip daddr . meta l4proto . th dport vmap @firewall-ips
  }
  chain cluster-ips-check {
    ip daddr @cluster-ips reject
    ip daddr { ${SERVICE_CIDR} } drop
  }
  chain services {
    ip daddr . meta l4proto . th dport vmap @service-ips
    ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports
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
    type nat hook prerouting priority dstnat
    jump services
  }
  chain nat-output {
    type nat hook output priority -100
    jump services
  }
  chain nat-postrouting {
    type nat hook postrouting priority srcnat
    jump masquerading
  }`;

/** Services a transaction: the kernel's time for one grows with the square of its anonymous maps. */
const CHUNK = 1000;

/** Inputs of `nft -f`, one after another; the last one hooks the chains in. */
export function nftablesRules(services: readonly ModelService[], options: NftablesOptions): string[] {
  const address = 'type ipv4_addr . inet_proto . inet_service : verdict;';
  const port = 'type inet_proto . inet_service : verdict;';
  const empty = `table ip kube-proxy {
  set cluster-ips { type ipv4_addr; }
  set nodeport-ips { type ipv4_addr; ${elements(options.nodeIps)} }
  map no-endpoint-services { ${address} }
  map no-endpoint-nodeports { ${port} }
  map firewall-ips { ${address} }
  map service-ips { ${address} }
  map service-nodeports { ${port} }
  chain mark-for-masquerade { mark set mark or ${MARK}; }
}
`;
  const chunks = Array.from({ length: Math.ceil(services.length / CHUNK) }, (_, k) =>
    chunkRules(services.slice(k * CHUNK, (k + 1) * CHUNK), options),
  );
  return [empty, ...chunks, `table ip kube-proxy {${BASE_CHAINS}\n}\n`];
}

function chunkRules(services: readonly ModelService[], options: RuleOptions): string {
  const table: Table = { chains: [], serviceIps: [], nodePorts: [] };
  for (const service of services) for (const port of service.ports) writePort(table, service, port, options);
  const add = (name: string, list: readonly string[]) =>
    list.length === 0 ? '' : `add element ip kube-proxy ${name} { ${list.join(', ')} }\n`;
  return `table ip kube-proxy {
${table.chains.join('\n')}
}
${add('cluster-ips', [...new Set(services.map(({ clusterIp }) => clusterIp))])}${add('service-ips', table.serviceIps)}${add('service-nodeports', table.nodePorts)}`;
}

const elements = (list: readonly string[]) => (list.length === 0 ? '' : `elements = { ${list.join(', ')} };`);

function writePort(table: Table, service: ModelService, port: ModelPort, { nodeName }: RuleOptions): void {
  const protocol = port.protocol.toLowerCase();
  const name = `${service.namespace}/${service.name}/${protocol}/${port.name}`;
  const cluster = `service-${hashed(name)}`;
  const endpoints = service.endpoints.map(({ address }) => {
    const chain = `endpoint-${hashed(`${name}__${address}/${port.targetPort}`)}`;
    table.chains.push(
      `  chain ${chain} {\n    ip saddr ${address} jump mark-for-masquerade\n    meta l4proto ${protocol} dnat to ${address}:${port.targetPort}\n  }`,
    );
    return chain;
  });
  table.chains.push(
    `  chain ${cluster} {\n    ip daddr ${service.clusterIp} ${protocol} dport ${port.port} ip saddr != ${POD_CIDR} jump mark-for-masquerade\n    ${balance(endpoints)}\n  }`,
  );
  table.serviceIps.push(`${service.clusterIp} . ${protocol} . ${port.port} : goto ${cluster}`);
  if (port.nodePort === undefined) return;

  const external = `external-${hashed(name)}`;
  if (service.external === 'Local') {
    const local = `local-${hashed(name)}`;
    const mine = endpoints.filter((_, k) => service.endpoints[k]?.nodeName === nodeName);
    table.chains.push(
      `  chain ${local} {\n    ${balance(mine)}\n  }`,
      `  chain ${external} {\n    ip saddr ${POD_CIDR} goto ${cluster}\n    fib saddr type local jump mark-for-masquerade\n    fib saddr type local goto ${cluster}\n    goto ${local}\n  }`,
    );
  } else {
    table.chains.push(`  chain ${external} {\n    jump mark-for-masquerade\n    goto ${cluster}\n  }`);
  }
  table.nodePorts.push(`${protocol} . ${port.nodePort} : goto ${external}`);
}

/**
 * kube-proxy writes a map for a single endpoint too. Here it does not: tens of thousands of Services that
 * nobody dials would take the kernel minutes to load, and no packet looks at them.
 */
function balance(endpoints: readonly string[]): string {
  if (endpoints.length === 0) return 'drop';
  if (endpoints.length === 1) return `goto ${endpoints[0]}`;
  const choices = endpoints.map((endpoint, k) => `${k} : goto ${endpoint}`);
  return `numgen random mod ${endpoints.length} vmap { ${choices.join(', ')} }`;
}
