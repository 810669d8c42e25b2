/** Compares, for every frontend, where kube-proxy's rules and ours would send a packet that begins something. */
import { type Address, type Family, familyOf, readAddress, writeAddress } from '../model/address.ts';
import { cidrContains, parseCidr } from '../model/cidr.ts';
import type { Cidr } from '../model/compiled.ts';
import { reasonOf } from './reasons.ts';
import {
  type Answer,
  type Client,
  type Frontend,
  frontendText,
  type NodeFacts,
  type Question,
  type Rules,
  type Source,
} from './rules.ts';

export const DIFFERENCE_KINDS = [
  'only kube-proxy',
  'only sluice',
  'verdict',
  'backends',
  'masquerade',
  'affinity',
  'source ranges',
  'not understood',
] as const;
export type DifferenceKind = (typeof DIFFERENCE_KINDS)[number];

export interface Difference {
  /** `namespace/name:port`; "" when neither side says. */
  readonly service: string;
  /** `10.96.0.1:80/TCP` */
  readonly frontend: string;
  /** Whose packets fare differently. */
  readonly clients: readonly Client[];
  readonly kind: DifferenceKind;
  readonly kubeProxy: string;
  readonly sluice: string;
  readonly reason: string;
  /** It is one that docs/differences.md explains, and no obstacle. */
  readonly known: boolean;
}

/** Of whom is asked, and what is known of the node. */
export interface Surroundings extends NodeFacts {
  readonly sources: Readonly<Record<Family, Readonly<Record<Client, Source>>>>;
  /** Of the pods, as detectLocalMode has them. */
  readonly podNetworks: readonly Cidr[];
  /** Addresses that NodePorts may be dialled at. */
  readonly nodePortAddresses: readonly Address[];
}

export interface Comparison {
  /** Frontends that were compared: a NodePort once for each address of the node. */
  readonly compared: number;
  readonly differences: readonly Difference[];
}

export function compareRules(kubeProxy: Rules, sluice: Rules, surroundings: Surroundings): Comparison {
  const frontends = dialled([...sluice.frontends, ...kubeProxy.frontends], surroundings);
  const differences: Difference[] = [];
  for (const frontend of frontends) {
    const service = sluice.nameOf(frontend) ?? kubeProxy.nameOf(frontend) ?? nodePortName(kubeProxy, frontend) ?? '';
    const found = new Map<string, Difference & { clients: Client[] }>();
    const add = (client: Client, difference: Omit<Difference, 'service' | 'frontend' | 'clients'>): void => {
      const { kind, kubeProxy: theirs, sluice: ours } = difference;
      const key = `${kind}\n${theirs}\n${ours}`;
      const known = found.get(key);
      if (known === undefined)
        found.set(key, { service, frontend: frontendText(frontend), clients: [client], ...difference });
      else if (!known.clients.includes(client)) known.clients.push(client);
    };
    compareOne(frontend, kubeProxy, sluice, surroundings, add);
    differences.push(...found.values());
  }
  return { compared: frontends.length, differences };
}

type Add = (client: Client, difference: Omit<Difference, 'service' | 'frontend' | 'clients'>) => void;

function compareOne(frontend: Frontend, kubeProxy: Rules, sluice: Rules, surroundings: Surroundings, add: Add): void {
  const { podNetworks, local } = surroundings;
  const sources = surroundings.sources[familyOf(frontend.address)];
  const networks = new Set<string>();
  const backends = new Set<string>();
  let equal = true;
  for (const client of kubeProxy.clients) {
    const question: Question = { ...frontend, source: sources[client] };
    const theirs = kubeProxy.ask(question);
    const ours = sluice.ask(question);
    for (const network of [...theirs.networks, ...ours.networks]) networks.add(network);
    for (const backend of [...theirs.backends, ...ours.backends]) backends.add(addressOf(backend));
    for (const difference of differencesOf(theirs, ours, kubeProxy)) {
      equal = false;
      add(client, { ...difference, ...reasonOf(difference.kind, theirs, ours, { frontend, client, local }) });
    }
  }
  if (!equal || kubeProxy.untold.includes('source ranges')) return;
  const samples = [...networks].flatMap((network) => samplesOf(network).map((address) => ({ network, address })));
  for (const { network, address } of samples) {
    // A backend that dials its own Service is another matter.
    if (backends.has(address) || familyOf(address) !== familyOf(frontend.address)) continue;
    const client = podNetworks.some((pods) => cidrContains(pods, address))
      ? 'pod'
      : local.has(address)
        ? 'node'
        : 'outside';
    const question: Question = { ...frontend, source: { ...sources[client], address } };
    const [theirs, ours] = [kubeProxy.ask(question), sluice.ask(question)];
    if (theirs.verdict === ours.verdict) continue;
    const texts = { kubeProxy: `${network}: ${answerText(theirs)}`, sluice: `${network}: ${answerText(ours)}` };
    const kind = 'source ranges';
    add(client, { kind, ...texts, ...reasonOf(kind, theirs, ours, { frontend, client, local }) });
  }
}

type Found = Pick<Difference, 'kind' | 'kubeProxy' | 'sluice'>;

/** @returns the first thing that differs; the rest follows from it. */
function differencesOf(theirs: Answer, ours: Answer, { untold }: Rules): Found[] {
  const texts = { kubeProxy: answerText(theirs), sluice: answerText(ours) };
  const unknown: Found[] =
    theirs.unknown.length === 0
      ? []
      : [{ kind: 'not understood', kubeProxy: theirs.unknown.slice(0, 3).join('; '), sluice: answerText(ours) }];
  if (theirs.verdict !== ours.verdict) {
    const kind = theirs.verdict === 'none' ? 'only sluice' : ours.verdict === 'none' ? 'only kube-proxy' : 'verdict';
    return [...unknown, { kind, ...texts }];
  }
  if (theirs.verdict !== 'backends') return unknown;
  if (theirs.backends.join() !== ours.backends.join())
    return [...unknown, { kind: 'backends', ...backendTexts(theirs.backends, ours.backends) }];
  const rest: Found[] = [];
  if (!untold.includes('masquerade') && theirs.masquerade !== ours.masquerade)
    rest.push({ kind: 'masquerade', kubeProxy: theirs.masquerade, sluice: ours.masquerade });
  if (theirs.affinitySeconds !== ours.affinitySeconds)
    rest.push({ kind: 'affinity', kubeProxy: `${theirs.affinitySeconds} s`, sluice: `${ours.affinitySeconds} s` });
  return [...unknown, ...rest];
}

/** Backends that a line shows. */
const SHOWN = 4;

function listText(backends: readonly string[]): string {
  const more = backends.length - SHOWN;
  return more > 0 ? `${backends.slice(0, SHOWN).join(', ')} and ${more} more` : backends.join(', ');
}

function answerText({ verdict, backends }: Answer): string {
  const texts = {
    backends: listText(backends),
    refuse: 'refused',
    drop: 'dropped',
    none: 'no rule',
    mixed: backends.length === 0 ? 'refused or dropped' : `${listText(backends)}, or none`,
  };
  return texts[verdict];
}

/** Of two lists what only the one has. */
function backendTexts(theirs: readonly string[], ours: readonly string[]): Omit<Found, 'kind'> {
  const [a, b] = [new Set(theirs), new Set(ours)];
  const only = (list: readonly string[], other: ReadonlySet<string>) => {
    const own = list.filter((backend) => !other.has(backend));
    return `${list.length} backends${own.length === 0 ? '' : `, only here: ${listText(own)}`}`;
  };
  return { kubeProxy: only(theirs, b), sluice: only(ours, a) };
}

const addressOf = (endpoint: string) => endpoint.slice(0, endpoint.lastIndexOf(':')).replace(/[[\]]/g, '');

/** Addresses near both ends of a network: what lies within it and is judged otherwise has samples of its own. */
function samplesOf(network: string): Address[] {
  const cidr = parseCidr(network);
  if (cidr === undefined) return network.includes('/') ? [] : [network];
  const long = cidr.bits + (familyOf(cidr.address) === 'IPv4' ? 96 : 0);
  if (long >= 126) return [cidr.address];
  const buffer = Buffer.alloc(16);
  writeAddress(buffer, 0, cidr.address);
  const low = Buffer.from(buffer);
  low.writeUInt8(low.readUInt8(15) | 2, 15);
  for (let bit = long; bit < 128; bit++) buffer[bit >> 3] = (buffer[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
  buffer.writeUInt8(buffer.readUInt8(15) ^ 1, 15);
  return [readAddress(low, 0), readAddress(buffer, 0)];
}

/** Each address, port and protocol once; NodePorts at the addresses of the node. */
function dialled(frontends: readonly Frontend[], { nodePortAddresses }: Surroundings): Frontend[] {
  const found = new Map<string, Frontend>();
  for (const { address, port, protocol } of frontends) {
    const any = address === '0.0.0.0' || address === '::';
    const addresses = any ? nodePortAddresses.filter((own) => familyOf(own) === familyOf(address)) : [address];
    for (const own of addresses) {
      const frontend = { address: own, port, protocol };
      found.set(frontendText(frontend), frontend);
    }
  }
  return [...found.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, frontend]) => frontend);
}

function nodePortName(rules: Rules, frontend: Frontend): string | undefined {
  return rules.nameOf({ ...frontend, address: frontend.address.includes(':') ? '::' : '0.0.0.0' });
}
