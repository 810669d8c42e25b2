/**
 * The rules that kube-proxy's iptables mode would write for IPv4, in the layout of its source
 * (pkg/proxy/iptables/proxier.go): KUBE-SERVICES → KUBE-SVC-… → KUBE-SEP-…, NodePorts by KUBE-NODEPORTS →
 * KUBE-EXT-…, masquerading by a mark. Chain names are its hashes.
 */
import { createHash } from 'node:crypto';
import { base32 } from './base32.ts';
import { type ModelEndpoint, type ModelPort, type ModelService, POD_CIDR } from './model.ts';

export interface RuleOptions {
  /** Endpoints with policy Local are those of this node. */
  readonly nodeName: string;
}

const MARK = '0x4000';
/** largeClusterEndpointsThreshold: beyond it rules carry no comments. */
const COMMENTS_UP_TO = 1000;

function chainName(prefix: string, text: string): string {
  return `${prefix}${base32(createHash('sha256').update(text).digest()).slice(0, 16)}`;
}

interface Writer {
  readonly chains: string[];
  readonly rules: string[];
}

/** Input of `iptables-restore`: both tables complete. */
export function iptablesRules(services: readonly ModelService[], options: RuleOptions): string {
  const nat: Writer = { chains: [], rules: [] };
  const late: string[] = [];
  const total = services.reduce((sum, { ports, endpoints }) => sum + ports.length * endpoints.length, 0);
  const comment = (text: string) => (total > COMMENTS_UP_TO ? '' : ` -m comment --comment "${text}"`);
  for (const service of services)
    for (const port of service.ports) late.push(...writePort(nat, service, port, options, comment));
  return [
    '*filter',
    ...['KUBE-PROXY-FIREWALL', 'KUBE-NODEPORTS', 'KUBE-EXTERNAL-SERVICES', 'KUBE-FORWARD', 'KUBE-SERVICES'].map(
      declare,
    ),
    ...jump('INPUT', ['NEW KUBE-PROXY-FIREWALL', 'KUBE-NODEPORTS', 'NEW KUBE-EXTERNAL-SERVICES']),
    ...jump('FORWARD', ['NEW KUBE-PROXY-FIREWALL', 'KUBE-FORWARD', 'NEW KUBE-SERVICES', 'NEW KUBE-EXTERNAL-SERVICES']),
    ...jump('OUTPUT', ['NEW KUBE-PROXY-FIREWALL', 'NEW KUBE-SERVICES']),
    '-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP',
    `-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark ${MARK}/${MARK} -j ACCEPT`,
    '-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    'COMMIT',
    '*nat',
    ...['KUBE-SERVICES', 'KUBE-NODEPORTS', 'KUBE-POSTROUTING', 'KUBE-MARK-MASQ'].map(declare),
    ...nat.chains.map(declare),
    ...jump('PREROUTING', ['KUBE-SERVICES']),
    ...jump('OUTPUT', ['KUBE-SERVICES']),
    ...jump('POSTROUTING', ['KUBE-POSTROUTING']),
    `-A KUBE-MARK-MASQ -j MARK --or-mark ${MARK}`,
    `-A KUBE-POSTROUTING -m mark ! --mark ${MARK}/${MARK} -j RETURN`,
    `-A KUBE-POSTROUTING -j MARK --xor-mark ${MARK}`,
    '-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
    ...nat.rules,
    ...late,
    '-A KUBE-SERVICES -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS',
    'COMMIT',
    '',
  ].join('\n');
}

const declare = (chain: string) => `:${chain} - [0:0]`;

/** @param to chains; with `NEW` for new connections only */
function jump(from: string, to: readonly string[]): string[] {
  return to.map((target) =>
    target.startsWith('NEW ')
      ? `-A ${from} -m conntrack --ctstate NEW -j ${target.slice(4)}`
      : `-A ${from} -m comment --comment "kubernetes" -j ${target}`,
  );
}

/** @returns rules of KUBE-SERVICES and KUBE-NODEPORTS */
function writePort(
  nat: Writer,
  service: ModelService,
  port: ModelPort,
  { nodeName }: RuleOptions,
  comment: (text: string) => string,
): string[] {
  const full = `${service.namespace}/${service.name}:${port.name}`;
  const protocol = port.protocol.toLowerCase();
  const key = `${full}${protocol}`;
  const cluster = chainName('KUBE-SVC-', key);
  const match = `-p ${protocol} -m ${protocol}`;
  const to = `-d ${service.clusterIp}/32 ${match} --dport ${port.port}`;
  nat.chains.push(cluster);
  nat.rules.push(`-A ${cluster}${comment(`${full} cluster IP`)} ! -s ${POD_CIDR} ${to} -j KUBE-MARK-MASQ`);
  const chains = service.endpoints.map((endpoint) => writeEndpoint(nat, key, full, port, endpoint, comment));
  balance(nat, cluster, full, chains, comment);
  const dispatch = [`-A KUBE-SERVICES${comment(`${full} cluster IP`)} ${to} -j ${cluster}`];
  if (port.nodePort === undefined) return dispatch;

  const external = chainName('KUBE-EXT-', key);
  nat.chains.push(external);
  if (service.external === 'Local') {
    const local = chainName('KUBE-SVL-', key);
    const mine = chains.filter((_, k) => service.endpoints[k]?.nodeName === nodeName);
    nat.chains.push(local);
    balance(nat, local, full, mine, comment);
    nat.rules.push(
      `-A ${external}${comment(`pod traffic for ${full} external destinations`)} -s ${POD_CIDR} -j ${cluster}`,
      `-A ${external}${comment(`masquerade LOCAL traffic for ${full} external destinations`)} -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ`,
      `-A ${external}${comment(`route LOCAL traffic for ${full} external destinations`)} -m addrtype --src-type LOCAL -j ${cluster}`,
      `-A ${external} -j ${local}`,
    );
  } else {
    nat.rules.push(
      `-A ${external}${comment(`masquerade traffic for ${full} external destinations`)} -j KUBE-MARK-MASQ`,
      `-A ${external} -j ${cluster}`,
    );
  }
  return [...dispatch, `-A KUBE-NODEPORTS${comment(full)} ${match} --dport ${port.nodePort} -j ${external}`];
}

function writeEndpoint(
  nat: Writer,
  key: string,
  full: string,
  { protocol, targetPort }: ModelPort,
  { address }: ModelEndpoint,
  comment: (text: string) => string,
): string {
  const chain = chainName('KUBE-SEP-', `${key}${address}:${targetPort}`);
  const match = protocol.toLowerCase();
  nat.chains.push(chain);
  nat.rules.push(
    `-A ${chain}${comment(full)} -s ${address}/32 -j KUBE-MARK-MASQ`,
    `-A ${chain}${comment(full)} -p ${match} -m ${match} -j DNAT --to-destination ${address}:${targetPort}`,
  );
  return chain;
}

/** Each rule takes its share of what is left; the last takes all. */
function balance(
  nat: Writer,
  chain: string,
  full: string,
  endpoints: readonly string[],
  comment: (text: string) => string,
): void {
  endpoints.forEach((endpoint, k) => {
    const left = endpoints.length - k;
    const share = left > 1 ? ` -m statistic --mode random --probability ${(1 / left).toFixed(10)}` : '';
    nat.rules.push(`-A ${chain}${comment(full)}${share} -j ${endpoint}`);
  });
}
