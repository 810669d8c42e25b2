/** Rules in the form of kube-proxy's iptables mode, for one family: input of iptables-restore, both tables whole. */
import { fullName, hashOf, MARK, type ProxiedPort, type ProxyNode } from './proxied.ts';

interface Lines {
  readonly chains: string[];
  readonly nat: string[];
  readonly services: string[];
  readonly nodePorts: string[];
  readonly filterServices: string[];
  readonly filterExternal: string[];
  readonly firewall: string[];
}

export function iptablesForm(ports: readonly ProxiedPort[], node: ProxyNode): string {
  const lines: Lines = {
    chains: [],
    nat: [],
    services: [],
    nodePorts: [],
    filterServices: [],
    filterExternal: [],
    firewall: [],
  };
  for (const port of ports) writePort(port, node, lines);
  const declare = (name: string) => `:${name} - [0:0]`;
  const loopback = node.family === 'IPv4' ? '127.0.0.0/8' : '::1/128';
  const nodePortJumps = node.nodePortAddresses?.map(
    (address) => `-A KUBE-SERVICES -d ${address} -j KUBE-NODEPORTS`,
  ) ?? [
    `-A KUBE-SERVICES ! -d ${loopback} -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS`,
  ];
  return [
    '*filter',
    ...['KUBE-EXTERNAL-SERVICES', 'KUBE-FORWARD', 'KUBE-NODEPORTS', 'KUBE-PROXY-FIREWALL', 'KUBE-SERVICES'].map(
      declare,
    ),
    '-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL',
    '-A INPUT -m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS',
    '-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES',
    '-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL',
    '-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD',
    '-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
    '-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES',
    '-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL',
    '-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
    '-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP',
    `-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark ${MARK}/${MARK} -j ACCEPT`,
    '-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    ...lines.filterServices,
    ...lines.filterExternal,
    ...lines.firewall,
    'COMMIT',
    '*nat',
    ...['KUBE-MARK-MASQ', 'KUBE-NODEPORTS', 'KUBE-POSTROUTING', 'KUBE-SERVICES', ...lines.chains].map(declare),
    '-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
    '-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
    '-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING',
    `-A KUBE-MARK-MASQ -j MARK --or-mark ${MARK}`,
    `-A KUBE-POSTROUTING -m mark ! --mark ${MARK}/${MARK} -j RETURN`,
    `-A KUBE-POSTROUTING -j MARK --xor-mark ${MARK}`,
    '-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
    ...lines.nat,
    ...lines.services,
    ...nodePortJumps,
    ...lines.nodePorts,
    'COMMIT',
    '',
  ].join('\n');
}

function writePort(port: ProxiedPort, node: ProxyNode, lines: Lines): void {
  const { clusterIp, number, nodePort, endpoints, local = [], externalLocal = false } = port;
  const proto = port.protocol.toLowerCase();
  const name = fullName(port);
  const id = hashOf(`${name}${proto}`);
  const [service, external, localChain] = [`KUBE-SVC-${id}`, `KUBE-EXT-${id}`, `KUBE-SVL-${id}`];
  const outside = [...(port.externalIps ?? []), ...(port.balancerIps ?? [])];
  const match = (address: string) => `-d ${address} -p ${proto} -m ${proto} --dport ${number}`;
  const comment = (text: string) => `-m comment --comment "${text}"`;
  const atNode = `-m addrtype --dst-type LOCAL -p ${proto} -m ${proto} --dport ${nodePort}`;

  if (endpoints.length === 0) {
    const none = comment(`${name} has no endpoints`);
    lines.filterServices.push(`-A KUBE-SERVICES ${none} ${match(clusterIp)} -j REJECT`);
    for (const address of outside)
      lines.filterExternal.push(`-A KUBE-EXTERNAL-SERVICES ${none} ${match(address)} -j REJECT`);
    if (nodePort !== undefined) lines.filterExternal.push(`-A KUBE-EXTERNAL-SERVICES ${none} ${atNode} -j REJECT`);
    return;
  }
  lines.services.push(`-A KUBE-SERVICES ${comment(`${name} cluster IP`)} ${match(clusterIp)} -j ${service}`);
  lines.chains.push(service);
  lines.nat.push(
    `-A ${service} ${comment(`${name} cluster IP`)} ${match(clusterIp)} ! -s ${node.podNetwork} -j KUBE-MARK-MASQ`,
  );
  const chains = endpoints.map((address) => writeEndpoint(port, address, lines));
  choose(service, port, chains, lines);
  if (nodePort === undefined && outside.length === 0) return;

  lines.chains.push(external);
  if (externalLocal) {
    const mine = chains.filter((_, k) => local.includes(endpoints[k] ?? ''));
    lines.nat.push(
      `-A ${external} ${comment(`pod traffic for ${name} external destinations`)} -s ${node.podNetwork} -j ${service}`,
      `-A ${external} ${comment(`masquerade LOCAL traffic for ${name} external destinations`)} -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ`,
      `-A ${external} ${comment(`route LOCAL traffic for ${name} external destinations`)} -m addrtype --src-type LOCAL -j ${service}`,
    );
    if (mine.length > 0) {
      lines.chains.push(localChain);
      lines.nat.push(`-A ${external} -j ${localChain}`);
      choose(localChain, port, mine, lines);
    } else {
      const none = comment(`${name} has no local endpoints`);
      for (const address of outside)
        lines.filterExternal.push(`-A KUBE-EXTERNAL-SERVICES ${none} ${match(address)} -j DROP`);
      if (nodePort !== undefined) lines.filterExternal.push(`-A KUBE-EXTERNAL-SERVICES ${none} ${atNode} -j DROP`);
    }
  } else {
    lines.nat.push(
      `-A ${external} ${comment(`masquerade traffic for ${name} external destinations`)} -j KUBE-MARK-MASQ`,
      `-A ${external} -j ${service}`,
    );
  }
  if (nodePort !== undefined)
    lines.nodePorts.push(
      `-A KUBE-NODEPORTS ${comment(name)} -p ${proto} -m ${proto} --dport ${nodePort} -j ${external}`,
    );
  for (const address of port.externalIps ?? [])
    lines.services.push(`-A KUBE-SERVICES ${comment(`${name} external IP`)} ${match(address)} -j ${external}`);
  for (const address of port.balancerIps ?? []) writeBalancer(port, external, `KUBE-FW-${id}`, match(address), lines);
}

function writeBalancer(port: ProxiedPort, external: string, firewall: string, match: string, lines: Lines): void {
  const name = fullName(port);
  const comment = `-m comment --comment "${name} loadbalancer IP"`;
  if (port.sourceRanges === undefined) {
    lines.services.push(`-A KUBE-SERVICES ${comment} ${match} -j ${external}`);
    return;
  }
  lines.services.push(`-A KUBE-SERVICES ${comment} ${match} -j ${firewall}`);
  lines.firewall.push(
    `-A KUBE-PROXY-FIREWALL -m comment --comment "${name} traffic not accepted by ${firewall}" ${match} -j DROP`,
  );
  if (!lines.chains.includes(firewall)) {
    lines.chains.push(firewall);
    for (const range of port.sourceRanges) lines.nat.push(`-A ${firewall} ${comment} -s ${range} -j ${external}`);
    lines.nat.push(
      `-A ${firewall} -m comment --comment "other traffic to ${name} will be dropped by KUBE-PROXY-FIREWALL"`,
    );
  }
}

function writeEndpoint(port: ProxiedPort, address: string, lines: Lines): string {
  const proto = port.protocol.toLowerCase();
  const name = fullName(port);
  const to = address.includes(':') ? `[${address}]:${port.targetPort}` : `${address}:${port.targetPort}`;
  const chain = `KUBE-SEP-${hashOf(`${name}${proto}${to}`)}`;
  const comment = `-m comment --comment "${name}"`;
  const affinity = port.affinitySeconds ? ` -m recent --name ${chain} --set` : '';
  lines.chains.push(chain);
  lines.nat.push(
    `-A ${chain} ${comment} -s ${address} -j KUBE-MARK-MASQ`,
    `-A ${chain} ${comment}${affinity} -m ${proto} -p ${proto} -j DNAT --to-destination ${to}`,
  );
  return chain;
}

function choose(chain: string, port: ProxiedPort, endpoints: readonly string[], lines: Lines): void {
  const comment = `-m comment --comment "${fullName(port)}"`;
  if (port.affinitySeconds)
    for (const endpoint of endpoints)
      lines.nat.push(
        `-A ${chain} ${comment} -m recent --name ${endpoint} --rcheck --seconds ${port.affinitySeconds} --reap -j ${endpoint}`,
      );
  endpoints.forEach((endpoint, k) => {
    const left = endpoints.length - k;
    const share = left > 1 ? ` -m statistic --mode random --probability ${(1 / left).toFixed(10)}` : '';
    lines.nat.push(`-A ${chain} ${comment}${share} -j ${endpoint}`);
  });
}
