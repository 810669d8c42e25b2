/** Follows a packet through kube-proxy's table of nftables. */
import { type Family, parseAddress } from '../model/address.ts';
import { isDevice, isSourceWithin, protocolOf, serviceOfComment } from './match.ts';
import {
  isList,
  isObject,
  type Json,
  type JsonObject,
  type NftChain,
  type NftTable,
  readElements,
  readNftables,
  readVerdicts,
  valueText,
} from './nftables-read.ts';
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

interface Packet extends Question {
  readonly mark: number;
  readonly backend?: string;
  readonly masquerade: boolean;
}

/** `accept` ends a base chain, `drop` and `refuse` the packet, `return` a chain; none: the next statement. */
interface Way {
  readonly packet: Packet;
  readonly end?: 'accept' | 'drop' | 'refuse' | 'return';
}

const MAX_DEPTH = 64;

/** @param listed what `nft -j list table ip kube-proxy` says. @throws SyntaxError when that is no JSON. */
export function createNftablesRules(listed: string, family: Family, facts: NodeFacts): Rules {
  const table = readNftables(listed);
  const named = frontendsOf(table, family);
  return {
    frontends: [...named.values()].map(({ frontend }) => frontend),
    nameOf: (frontend) => named.get(frontendText(frontend))?.name,
    clients: CLIENTS,
    untold: [],
    ask(question) {
      const findings = createFindings();
      let leaves: Leaf[] = [];
      try {
        leaves = leavesOf(question, table, createWalk(table, facts, findings), facts);
      } catch (error) {
        if (!(error instanceof TooComplex)) throw error;
        findings.unknown.add(error.message);
      }
      return answerOf(leaves, findings);
    },
  };
}

type Walk = (chain: NftChain, packet: Packet) => Way[];

function leavesOf(question: Question, table: NftTable, walk: Walk, { local }: NodeFacts): Leaf[] {
  const hooks = (hook: string) =>
    [...table.chains.values()].filter((chain) => chain.hook === hook).sort((a, b) => a.priority - b.priority);
  const leaves: Leaf[] = [];
  const through = (chains: readonly NftChain[], packet: Packet, then: (packet: Packet) => void): void => {
    const [chain, ...later] = chains;
    if (chain === undefined) {
      then(packet);
      return;
    }
    for (const way of walk(chain, packet)) {
      if (way.end === 'drop' || way.end === 'refuse') leaves.push({ verdict: way.end, masquerade: false });
      else through(later, way.packet, then);
    }
  };
  const last = (packet: Packet) =>
    through(hooks('postrouting'), packet, ({ backend, masquerade }) => {
      leaves.push(
        backend === undefined ? { verdict: 'none', masquerade } : { verdict: 'backend', backend, masquerade },
      );
    });
  const start: Packet = { ...question, mark: 0, masquerade: false };
  // What the node sends to itself comes in again, by its loopback.
  if (question.source.client === 'node')
    through(hooks('output'), start, (packet) => through(local.has(packet.address) ? hooks('input') : [], packet, last));
  else
    through(hooks('prerouting'), start, (packet) =>
      through(hooks(local.has(packet.address) ? 'input' : 'forward'), packet, last),
    );
  return leaves;
}

function createWalk(table: NftTable, facts: NodeFacts, findings: Findings): Walk {
  let steps = 0;
  const cache = new WeakMap<object, unknown>();
  /** What stands in a rule is read once. */
  const once = <T>(json: object, read: () => T): T => {
    const known = (cache.get(json) as T | undefined) ?? read();
    cache.set(json, known);
    return known;
  };

  function chainWays(chain: NftChain, from: number, start: Packet, depth: number): Way[] {
    if (depth > MAX_DEPTH) throw new TooComplex('chains that lead to each other too often');
    const ways: Way[] = [];
    let packet = start;
    for (let i = from; i < chain.rules.length; i++) {
      const goesOn: Packet[] = [];
      for (const way of statements(chain.rules[i] ?? [], packet, depth)) {
        if (way.end === 'return') ways.push({ packet: way.packet });
        else if (way.end !== undefined) ways.push(way);
        else goesOn.push(way.packet);
      }
      const [next, ...more] = goesOn;
      for (const other of more) ways.push(...chainWays(chain, i + 1, other, depth + 1));
      if (next === undefined) return ways;
      packet = next;
    }
    return [...ways, { packet }];
  }

  /** @returns ways without an end where the next rule is to go on. */
  function statements(rule: readonly Json[], start: Packet, depth: number): Way[] {
    let packet = start;
    for (const statement of rule) {
      if (++steps > MAX_STEPS) throw new TooComplex('more rules than are followed for one packet');
      if (!isObject(statement)) continue;
      const [kind = ''] = Object.keys(statement);
      const body = statement[kind] ?? null;
      if (kind === 'match') {
        const is = isObject(body) ? matches(body, packet) : undefined;
        if (is === undefined) findings.unknown.add(`match ${JSON.stringify(body).slice(0, 80)}`);
        if (is !== true) return [{ packet }];
      } else if (kind === 'vmap') return isObject(body) ? choose(body, packet, depth) : [{ packet }];
      else if (kind === 'mangle') packet = mangled(body, packet);
      else if (kind === 'dnat') packet = translated(body, packet);
      else if (kind === 'masquerade' || kind === 'snat')
        return [{ packet: { ...packet, masquerade: true }, end: 'accept' }];
      else if (!SILENT.has(kind)) return verdict(statement, packet, depth);
      if (kind === 'dnat') return [{ packet, end: 'accept' }];
    }
    return [{ packet }];
  }

  function verdict(statement: JsonObject, packet: Packet, depth: number): Way[] {
    const [kind = ''] = Object.keys(statement);
    const body = statement[kind];
    switch (kind) {
      case 'accept':
      case 'drop':
        return [{ packet, end: kind }];
      case 'reject':
        return [{ packet, end: 'refuse' }];
      case 'return':
        return [{ packet, end: 'return' }];
      case 'continue':
        return [{ packet }];
      case 'jump':
      case 'goto': {
        const target = isObject(body) && typeof body.target === 'string' ? body.target : '';
        const chain = table.chains.get(target);
        if (chain === undefined) {
          findings.unknown.add(`${kind} ${target.slice(0, 64)}`);
          return [{ packet }];
        }
        const ways = chainWays(chain, 0, packet, depth + 1);
        return kind === 'jump' ? ways : ways.map((way) => (way.end === undefined ? { ...way, end: 'return' } : way));
      }
      default:
        findings.unknown.add(JSON.stringify(statement).slice(0, 80));
        return [{ packet }];
    }
  }

  /** A verdict map: by chance when its key is a random number. */
  function choose(body: JsonObject, packet: Packet, depth: number): Way[] {
    const { key = null, data = null } = body;
    const name = typeof data === 'string' && data.startsWith('@') ? data.slice(1) : undefined;
    const map =
      name !== undefined ? table.maps.get(name) : isObject(data) ? once(data, () => readVerdicts(data.set)) : undefined;
    if (map === undefined) {
      findings.unknown.add(`vmap ${JSON.stringify(data).slice(0, 64)}`);
      return [{ packet }];
    }
    const follow = (chosen: Json) => (isObject(chosen) ? verdict(chosen, packet, depth) : [{ packet }]);
    if (isObject(key) && isObject(key.numgen)) return [...map.verdicts.values()].flatMap(follow);
    const looked = field(key, packet);
    if (looked === undefined) findings.unknown.add(`vmap by ${JSON.stringify(key).slice(0, 64)}`);
    const chosen = looked === undefined ? undefined : map.verdicts.get(looked);
    return chosen === undefined ? [{ packet }] : follow(chosen);
  }

  /** What a packet has at a place, as text; undefined: not known. */
  function field(left: Json, packet: Packet): string | undefined {
    if (!isObject(left)) return undefined;
    const { payload, meta, fib, concat } = left;
    if (isList(concat)) {
      const parts = concat.map((part) => field(part, packet));
      return parts.includes(undefined) ? undefined : parts.join(' . ');
    }
    if (isObject(fib)) {
      if (fib.result !== 'type' || !isList(fib.flags)) return undefined;
      if (fib.flags.includes('daddr')) return facts.local.has(packet.address) ? 'local' : 'unicast';
      return packet.source.client === 'node' ? 'local' : 'unicast';
    }
    if (isObject(meta)) {
      if (meta.key === 'l4proto') return packet.protocol.toLowerCase();
      if (meta.key === 'mark') return String(packet.mark);
      if (meta.key === 'iifname') return packet.source.device;
      return undefined;
    }
    if (!isObject(payload)) return undefined;
    if (payload.field === 'daddr') return packet.address;
    if (payload.field === 'saddr') return packet.source.address;
    if (payload.field === 'protocol' || payload.field === 'nexthdr') return packet.protocol.toLowerCase();
    if (payload.field !== 'dport') return undefined;
    const named = protocolOf(String(payload.protocol));
    // `tcp dport` is of TCP alone.
    return named === undefined || named === packet.protocol ? String(packet.port) : '';
  }

  function matches({ op, left = null, right = null }: JsonObject, packet: Packet): boolean | undefined {
    if (isObject(left) && isObject(left.ct))
      return left.ct.key === 'state' ? (isList(right) ? right.includes('new') : right === 'new') : undefined;
    if (isObject(left) && isList(left['&'])) {
      const [what = null, mask] = left['&'];
      const value = field(what, packet);
      if (value === undefined || typeof right !== 'number') return undefined;
      return ((Number(value) & Number(mask)) >>> 0 === right) === (op !== '!=');
    }
    const value = field(left, packet);
    if (value === undefined) return undefined;
    const source = isObject(left) && isObject(left.payload) && left.payload.field === 'saddr';
    const device = isObject(left) && isObject(left.meta) && left.meta.key === 'iifname';
    const is = source ? fromSource(value, right) : device ? isOfDevice(value, right) : isOneOf(value, right);
    return is === undefined ? undefined : is === (op !== '!=');
  }

  function isOfDevice(name: string, right: Json): boolean | undefined {
    return typeof right === 'string' && !right.startsWith('@') ? isDevice(name, right) : isOneOf(name, right);
  }

  function isOneOf(value: string, right: Json): boolean | undefined {
    if (typeof right === 'string' && right.startsWith('@')) return table.sets.get(right.slice(1))?.has(value);
    if (isObject(right) && isList(right.set)) return once(right, () => readElements(right.set)).has(value);
    if (isObject(right)) return readElements([right]).has(value);
    return valueText(right) === value;
  }

  /** The same of a source: what it is compared with is noted, and who has affinity. */
  function fromSource(value: string, right: Json): boolean | undefined {
    if (typeof right === 'string' && right.startsWith('@')) {
      const set = table.sets.get(right.slice(1));
      if (set?.timeout !== undefined) findings.affinitySeconds = Math.max(findings.affinitySeconds, set.timeout);
      // A client that comes for the first time is in no set of clients that were here.
      return set?.timeout !== undefined ? false : set?.has(value);
    }
    const elements = isObject(right) && isList(right.set) ? right.set : [right];
    const results = elements.map((element) => {
      const prefix = isObject(element) ? element.prefix : undefined;
      const network = isObject(prefix) ? `${prefix.addr}/${prefix.len}` : valueText(element);
      return network === undefined ? undefined : isSourceWithin(value, network, findings);
    });
    return results.includes(true) ? true : results.includes(undefined) ? undefined : false;
  }

  function mangled(body: Json, packet: Packet): Packet {
    const { key = null, value = null } = isObject(body) ? body : {};
    if (!isObject(key) || !isObject(key.meta) || key.meta.key !== 'mark') return packet;
    const calculated = calculate(value, packet);
    if (calculated === undefined) findings.unknown.add(`mark ${JSON.stringify(value).slice(0, 64)}`);
    return calculated === undefined ? packet : { ...packet, mark: calculated >>> 0 };
  }

  function calculate(value: Json, packet: Packet): number | undefined {
    if (typeof value === 'number') return value;
    if (!isObject(value)) return undefined;
    const [operation = ''] = Object.keys(value);
    const operands = value[operation];
    if (!isList(operands)) return isObject(value.meta) ? packet.mark : undefined;
    const [a, b] = operands.map((operand) => calculate(operand, packet));
    if (a === undefined || b === undefined) return undefined;
    return { '|': a | b, '^': a ^ b, '&': a & b }[operation];
  }

  function translated(body: Json, packet: Packet): Packet {
    const { addr, port } = isObject(body) ? body : ({} as JsonObject);
    const address = typeof addr === 'string' ? parseAddress(addr) : undefined;
    if (address === undefined || (port !== undefined && typeof port !== 'number')) {
      findings.unknown.add(`dnat to ${JSON.stringify(body).slice(0, 64)}`);
      return packet;
    }
    const to = port ?? packet.port;
    return { ...packet, address, port: to, backend: endpointText(address, to) };
  }

  return (chain, packet) => chainWays(chain, 0, packet, 0);
}

/** Statements that change nothing for the packet. */
const SILENT: ReadonlySet<string> = new Set(['counter', 'log', 'set', 'comment', 'xt', 'limit', 'quota']);

interface Named {
  readonly frontend: Frontend;
  readonly name: string | undefined;
}

/** Whatever a map of verdicts has by address, protocol and port, or by protocol and port. */
function frontendsOf({ maps }: NftTable, family: Family): Map<string, Named> {
  const any = family === 'IPv6' ? '::' : '0.0.0.0';
  const found = new Map<string, Named>();
  for (const { verdicts, comments } of maps.values()) {
    for (const [key, chosen] of verdicts) {
      const parts = key.split(' . ');
      const [address, transport, port] = parts.length === 2 ? [any, ...parts] : parts;
      const parsed = parseAddress(address ?? '');
      const protocol = protocolOf(transport ?? '');
      if (parsed === undefined || protocol === undefined || !/^\d{1,5}$/.test(port ?? '')) continue;
      const frontend = { address: parsed, port: Number(port), protocol };
      const text = frontendText(frontend);
      const name = serviceOfComment(comments.get(key) ?? '') ?? nameOfChain(chosen);
      if (found.get(text)?.name === undefined) found.set(text, { frontend, name });
    }
  }
  return found;
}

/** `service-ULMVA6XW-ns1/svc1/tcp/p80` → `ns1/svc1:p80` */
function nameOfChain(verdict: Json): string | undefined {
  const [target] = isObject(verdict) ? Object.values(verdict) : [];
  const chain = isObject(target) && typeof target.target === 'string' ? target.target : '';
  const [, service, port] =
    /^(?:service|external|firewall)-[A-Z0-9]{8}-([^/]+\/[^/]+)\/[a-z]+\/([^/_]*)/.exec(chain) ?? [];
  return service === undefined ? undefined : port ? `${service}:${port}` : service;
}
