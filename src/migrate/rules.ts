/** What the comparison asks of two sets of rules, kube-proxy's and ours: where would a packet go that begins something? */
import type { Address } from '../model/address.ts';
import type { Protocol } from '../model/compiled.ts';

/** Who sends: a pod of this node, the node itself, or somebody outside. */
export const CLIENTS = ['pod', 'node', 'outside'] as const;
export type Client = (typeof CLIENTS)[number];

export interface Source {
  readonly client: Client;
  readonly address: Address;
  /** The device that its packets come in by; "" for the node's own. */
  readonly device: string;
}

/** An address, port and protocol that clients dial. */
export interface Frontend {
  /** `0.0.0.0` or `::` for a NodePort. */
  readonly address: Address;
  readonly port: number;
  readonly protocol: Protocol;
}

export interface Question extends Frontend {
  /** Never unspecified. */
  readonly address: Address;
  readonly source: Source;
}

/** `some`: of the backends that may be chosen, for some. */
export type Masquerade = 'yes' | 'no' | 'some';

export interface Answer {
  /** `none`: the rules leave the packet alone; `mixed`: one of several at random. */
  readonly verdict: 'backends' | 'refuse' | 'drop' | 'none' | 'mixed';
  /** `address:port`, sorted, those that may be chosen. */
  readonly backends: readonly string[];
  /** Is the source translated? Of what reaches a backend. */
  readonly masquerade: Masquerade;
  /** How long a client keeps its backend; 0: no affinity. */
  readonly affinitySeconds: number;
  /** Networks that the source was compared with: another one in or out of them may be answered otherwise. */
  readonly networks: readonly string[];
  /** What stands in the rules and was not understood; such a rule was taken for one that does not match. */
  readonly unknown: readonly string[];
}

export interface Rules {
  /** All that the rules name. */
  readonly frontends: readonly Frontend[];
  /** @returns `namespace/name:port` as the rules' comments say it; undefined: they do not. */
  nameOf(frontend: Frontend): string | undefined;
  ask(question: Question): Answer;
  /** For whom the rules can tell. */
  readonly clients: readonly Client[];
  /** What they do not tell, so that it is not compared. */
  readonly untold: readonly ('masquerade' | 'source ranges')[];
}

/** One end that a packet may come to. */
export interface Leaf {
  readonly verdict: 'backend' | 'refuse' | 'drop' | 'none';
  /** With `backend`. */
  readonly backend?: string;
  readonly masquerade: boolean;
}

/** What else came up on the way. */
export interface Findings {
  affinitySeconds: number;
  readonly networks: Set<string>;
  readonly unknown: Set<string>;
}

export function createFindings(): Findings {
  return { affinitySeconds: 0, networks: new Set(), unknown: new Set() };
}

export function answerOf(leaves: readonly Leaf[], findings: Findings): Answer {
  const verdicts = new Set(leaves.map(({ verdict }) => verdict));
  const [only = 'none'] = verdicts;
  const backends = new Set(leaves.flatMap(({ backend }) => (backend === undefined ? [] : [backend])));
  const masquerades = new Set(leaves.flatMap((leaf) => (leaf.verdict === 'backend' ? [leaf.masquerade] : [])));
  return {
    verdict: verdicts.size > 1 ? 'mixed' : only === 'backend' ? 'backends' : only,
    backends: [...backends].sort(),
    masquerade: masquerades.size > 1 ? 'some' : masquerades.has(true) ? 'yes' : 'no',
    affinitySeconds: findings.affinitySeconds,
    networks: [...findings.networks].sort(),
    unknown: [...findings.unknown].sort(),
  };
}

/** `10.0.0.1:80`, `[fd00::1]:80` */
export function endpointText(address: Address, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

export function frontendText({ address, port, protocol }: Frontend): string {
  return `${endpointText(address, port)}/${protocol}`;
}

/** What is known of the node beside its rules. */
export interface NodeFacts {
  /** Addresses of the node's devices. */
  readonly local: ReadonlySet<Address>;
}

/** A rule set may be anybody's and of any size: so many steps are gone for one packet. */
export const MAX_STEPS = 20_000;

/** The way is longer than MAX_STEPS, or turns in a circle. */
export class TooComplex extends Error {}
