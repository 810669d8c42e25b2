/** Follows a packet through kube-proxy's chains of iptables. Other people's chains are passed over. */
import { type Family, parseAddress } from '../model/address.ts';
import { type ChainIndex, indexChain, onlyAddress, wantedOf } from './chain-index.ts';
import { type IptablesChain, type IptablesRule, type IptablesTable, readIptables } from './iptables-read.ts';
import { isDevice, isPort, isSourceWithin, isWithin, protocolOf, serviceOfComment } from './match.ts';
import {
  answerOf,
  CLIENTS,
  createFindings,
  endpointText,
  type Findings,
  type Frontend,
  frontendText,
  type Leaf,
  MAX_STEPS,
  type NodeFacts,
  type Question,
  type Rules,
  TooComplex,
} from './rules.ts';

/** Chains that kube-proxy makes, in any of its versions. */
export const KUBE_PROXY_CHAIN =
  /^KUBE-(SERVICES|EXTERNAL-SERVICES|NODEPORTS|NODE-PORT|POSTROUTING|MARK-MASQ|FORWARD|LOAD-BALANCER|PROXY-FIREWALL|PROXY-CANARY|SOURCE-RANGES-FIREWALL|IPVS-FILTER|IPVS-OUT-FILTER|(SVC|SVL|SEP|EXT|XLB|FW)-[A-Z0-9]+)$/;
/** kubelet's, which old versions of kube-proxy send to what is to be dropped. */
const MARK_DROP = 'KUBE-MARK-DROP';
const MAX_DEPTH = 64;

interface Packet extends Question {
  readonly mark: number;
  /** `address:port` when it was translated. */
  readonly backend?: string;
}

/** How far a packet came: to its end, or back from a chain. */
interface Way {
  readonly packet: Packet;
  readonly end?: 'accept' | 'drop' | 'refuse' | 'masquerade';
}

/** Matches that take every packet, or are the business of the option beside them. */
const SILENT: ReadonlySet<string> = new Set([
  ...['-m', '--comment', '--reap', '--name', '--mask', '--rsource', '--rdest', '--hitcount', '--set', '--nfacct-name'],
  ...['--limit-iface-in', '--seconds', '--mode', '--every', '--packet', '--rttl'],
]);

/**
 * @param saved what `iptables-save` (or `ip6tables-save`) says.
 * @returns undefined when kube-proxy has no chain there.
 */
export function createIptablesRules(saved: string, family: Family, facts: NodeFacts): Rules | undefined {
  const tables = readIptables(saved);
  const own = [tables.nat, tables.filter].flatMap((table) => [...table.keys()]).some(isOwn);
  if (!own) return undefined;
  const named = frontendsOf(tables.nat, tables.filter, family);
  return {
    frontends: [...named.values()].map(({ frontend }) => frontend),
    nameOf: (frontend) => named.get(frontendText(frontend))?.name,
    clients: CLIENTS,
    untold: [],
    ask(question) {
      const findings = createFindings();
      const walk = createWalk(facts, findings);
      let leaves: Leaf[] = [];
      try {
        leaves = leavesOf(question, tables, walk, facts);
      } catch (error) {
        if (!(error instanceof TooComplex)) throw error;
        findings.unknown.add(error.message);
      }
      return answerOf(leaves, findings);
    },
  };
}

const isOwn = (name: string) => KUBE_PROXY_CHAIN.test(name);

function leavesOf(
  question: Question,
  { nat, filter }: { readonly nat: IptablesTable; readonly filter: IptablesTable },
  walk: Walk,
  { local }: NodeFacts,
): Leaf[] {
  const node = question.source.client === 'node';
  const leaves: Leaf[] = [];
  const ended = (verdict: 'drop' | 'refuse') => leaves.push({ verdict, masquerade: false });
  for (const first of walk(nat, node ? 'OUTPUT' : 'PREROUTING', { ...question, mark: 0 })) {
    if (first.end === 'drop' || first.end === 'refuse') {
      ended(first.end);
      continue;
    }
    const here = local.has(first.packet.address);
    // What the node sends to itself comes in again, by its loopback.
    const hooks = node ? ['OUTPUT', ...(here ? ['INPUT'] : [])] : [here ? 'INPUT' : 'FORWARD'];
    for (const second of hooks.reduce(
      (ways, hook) => ways.flatMap((way) => (isLost(way) ? [way] : walk(filter, hook, way.packet))),
      [first],
    )) {
      if (second.end === 'drop' || second.end === 'refuse') {
        ended(second.end);
        continue;
      }
      const { backend } = second.packet;
      for (const { end } of walk(nat, 'POSTROUTING', second.packet)) {
        const masquerade = end === 'masquerade';
        leaves.push(
          backend === undefined ? { verdict: 'none', masquerade } : { verdict: 'backend', backend, masquerade },
        );
      }
    }
  }
  return leaves;
}

const isLost = ({ end }: Way) => end === 'drop' || end === 'refuse';

type Walk = (table: IptablesTable, chain: string, packet: Packet) => Way[];

const indexes = new WeakMap<IptablesChain, ChainIndex>();

function indexOf(chain: IptablesChain): ChainIndex {
  const known = indexes.get(chain) ?? indexChain(chain);
  indexes.set(chain, known);
  return known;
}

function createWalk(facts: NodeFacts, findings: Findings): Walk {
  let steps = 0;

  /** Every way from a rule on. */
  function follow(table: IptablesTable, chain: IptablesChain, from: number, start: Packet, depth: number): Way[] {
    if (depth > MAX_DEPTH) throw new TooComplex('chains that lead to each other too often');
    const builtIn = !isOwn(chain.name);
    const ways: Way[] = [];
    let packet = start;
    for (const position of indexOf(chain).candidates(packet.address, packet.port)) {
      if (position < from) continue;
      if (++steps > MAX_STEPS) throw new TooComplex('more rules than are followed for one packet');
      const rule = chain.rules[position];
      if (rule === undefined || (builtIn && !isOwn(rule.target))) continue;
      const matched = matches(rule, packet, facts, findings);
      if (matched === 'no') continue;
      const goesOn: Packet[] = [];
      let returned = false;
      for (const way of act(table, rule, packet, depth)) {
        if (way === 'return') {
          ways.push({ packet });
          returned = true;
        } else if (way.end !== undefined || rule.goto) ways.push(way);
        else goesOn.push(way.packet);
      }
      if (matched === 'perhaps') {
        for (const next of goesOn) ways.push(...follow(table, chain, position + 1, next, depth + 1));
        continue;
      }
      const [next, ...more] = goesOn;
      for (const other of more) ways.push(...follow(table, chain, position + 1, other, depth + 1));
      if (returned || next === undefined) return ways;
      packet = next;
    }
    return [...ways, { packet }];
  }

  function act(table: IptablesTable, rule: IptablesRule, packet: Packet, depth: number): (Way | 'return')[] {
    const option = (name: string) => rule.targetOptions.get(name)?.[0] ?? '';
    switch (rule.target) {
      case '':
      case 'LOG':
      case 'NFLOG':
        return [{ packet }];
      case 'RETURN':
        return ['return'];
      case 'ACCEPT':
        return [{ packet, end: 'accept' }];
      case 'DROP':
      case MARK_DROP:
        return [{ packet, end: 'drop' }];
      case 'REJECT':
        return [{ packet, end: 'refuse' }];
      case 'MASQUERADE':
      case 'SNAT':
        return [{ packet, end: 'masquerade' }];
      case 'MARK':
        return [{ packet: { ...packet, mark: marked(packet.mark, rule.targetOptions) } }];
      case 'DNAT': {
        const translated = translate(packet, option('--to-destination'));
        if (translated === undefined) findings.unknown.add(`DNAT to ${option('--to-destination').slice(0, 64)}`);
        return [{ packet: translated ?? packet, end: 'accept' }];
      }
      default: {
        const next = table.get(rule.target);
        if (next !== undefined) return follow(table, next, 0, packet, depth + 1);
        findings.unknown.add(`target ${rule.target.slice(0, 64)}`);
        return [{ packet }];
      }
    }
  }

  return (table, name, packet) => {
    const chain = table.get(name);
    return chain === undefined ? [{ packet }] : follow(table, chain, 0, packet, 0);
  };
}

/** `0x4000/0x4000`: what is set, and the bits that are cleared first. */
function valueAndMask(text: string): readonly [number, number] {
  const [value = '0', mask = '0xffffffff'] = text.split('/');
  return [Number(value) >>> 0, Number(mask) >>> 0];
}

function marked(mark: number, options: ReadonlyMap<string, readonly string[]>): number {
  for (const [option, [text = '']] of options) {
    const [value, mask] = valueAndMask(text);
    if (option === '--set-xmark') return ((mark & ~mask) ^ value) >>> 0;
    if (option === '--set-mark') return ((mark & ~mask) | value) >>> 0;
    if (option === '--or-mark') return (mark | value) >>> 0;
    if (option === '--and-mark') return (mark & value) >>> 0;
    if (option === '--xor-mark') return (mark ^ value) >>> 0;
  }
  return mark;
}

/** @param to `10.0.0.1:80`, `[fd00::1]:80` */
function translate(packet: Packet, to: string): Packet | undefined {
  const [, six, four, port = ''] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(to) ?? [];
  const address = parseAddress(six ?? four ?? '');
  if (address === undefined) return undefined;
  return { ...packet, address, port: Number(port), backend: endpointText(address, Number(port)) };
}

/** `perhaps`: by chance. */
function matches(
  { matches: all }: IptablesRule,
  packet: Packet,
  { local }: NodeFacts,
  findings: Findings,
): 'yes' | 'no' | 'perhaps' {
  const unknown: string[] = [];
  let perhaps = false;
  for (const { option, not, args } of all) {
    const [value = ''] = args;
    let is: boolean | undefined;
    switch (option) {
      case '-p':
        is = value === 'all' || protocolOf(value) === packet.protocol;
        break;
      case '-s':
        is = isSourceWithin(packet.source.address, value, findings);
        break;
      case '-d':
        is = isWithin(packet.address, value);
        break;
      case '-i':
        is = isDevice(packet.source.device, value);
        break;
      case '--dport':
      case '--dports':
        is = isPort(packet.port, value);
        break;
      case '--dst-type':
        is = value === 'LOCAL' ? local.has(packet.address) : undefined;
        break;
      case '--src-type':
        is = value === 'LOCAL' ? packet.source.client === 'node' : undefined;
        break;
      case '--ctstate':
      case '--state':
        is = value.split(',').some((state) => state === 'NEW' || (state === 'DNAT' && packet.backend !== undefined));
        break;
      case '--mark': {
        const [wanted, mask] = valueAndMask(value);
        is = (packet.mark & mask) >>> 0 === wanted;
        break;
      }
      case '--rcheck':
      case '--update':
        is = false;
        findings.affinitySeconds = Math.max(findings.affinitySeconds, secondsOf(all));
        break;
      case '--probability':
        perhaps = true;
        is = !not;
        break;
      default:
        is = SILENT.has(option) ? !not : undefined;
        if (option === '--mode' && value === 'nth') perhaps = true;
    }
    if (is === undefined) unknown.push([...(not ? ['!'] : []), option, ...args].join(' ').slice(0, 80));
    else if (is === not) return 'no';
  }
  for (const text of unknown) findings.unknown.add(text);
  if (unknown.length > 0) return 'no';
  return perhaps ? 'perhaps' : 'yes';
}

function secondsOf(all: IptablesRule['matches']): number {
  return Number(all.find(({ option }) => option === '--seconds')?.args[0] ?? 0) || 0;
}

interface Named {
  readonly frontend: Frontend;
  readonly name: string | undefined;
}

function frontendsOf(nat: IptablesTable, filter: IptablesTable, family: Family): Map<string, Named> {
  const any = family === 'IPv6' ? '::' : '0.0.0.0';
  const found = new Map<string, Named>();
  for (const [table, chains] of [
    ['nat', nat],
    ['filter', filter],
  ] as const) {
    for (const { name: chain, rules } of chains.values()) {
      if (!isOwn(chain)) continue;
      const nodePorts = table === 'nat' ? chain === 'KUBE-NODEPORTS' : false;
      for (const rule of rules) {
        const protocol = protocolOf(wantedOf(rule, '-p') ?? '');
        const port = Number(wantedOf(rule, '--dport'));
        if (protocol === undefined || !Number.isInteger(port) || port < 1 || port > 65_535) continue;
        const address = onlyAddress(rule) ?? (nodePorts || wantedOf(rule, '--dst-type') === 'LOCAL' ? any : undefined);
        if (address === undefined) continue;
        const frontend = { address, port, protocol };
        const key = frontendText(frontend);
        const name = serviceOfComment(rule.matches.find(({ option }) => option === '--comment')?.args[0] ?? '');
        if (found.get(key)?.name === undefined) found.set(key, { frontend, name });
      }
    }
  }
  return found;
}
