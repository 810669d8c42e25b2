/** How packets from outside reach backends on other nodes. */
import type { Address, Family } from './address.ts';

/** `hybrid`: TCP as with `dsr`, UDP and SCTP as with `snat`. In the order of enum forwarding_mode. */
export const FORWARDING_MODES = ['snat', 'dsr', 'hybrid'] as const;
export type ForwardingMode = (typeof FORWARDING_MODES)[number];

/** The packet around the packet. In the order of enum dsr_encapsulation. */
export const DSR_ENCAPSULATIONS = ['ipip', 'geneve'] as const;
export type DsrEncapsulation = (typeof DSR_ENCAPSULATIONS)[number];

export interface ForwardingOptions {
  /** Of Services that choose none. */
  readonly mode: ForwardingMode;
  readonly encapsulation: DsrEncapsulation;
  /** UDP port of Geneve. */
  readonly genevePort: number;
  /** Virtual network identifier of what is sent, 24 bits. */
  readonly geneveVni: number;
  /** Know the other nodes even when no Service asks for it: to take what they send encapsulated. */
  readonly watchNodes: boolean;
}

export const DEFAULT_FORWARDING: ForwardingOptions = {
  mode: 'snat',
  encapsulation: 'geneve',
  genevePort: 6081,
  geneveVni: 0,
  watchNodes: false,
};

/** First InternalIP of a node in each family, or ExternalIP when there is none. */
export type PrimaryAddresses = Readonly<Partial<Record<Family, Address>>>;

/** A backend of frontends with direct return. */
export interface DirectBackend {
  readonly address: Address;
  readonly port: number;
  /** On this node. */
  readonly local: boolean;
  /** Address of its node; undefined when that is not known: packets for it are source-NATed. */
  readonly node: Address | undefined;
}
