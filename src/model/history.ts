/** What the agent writes down of each change that it put in force, for `sluice events`. */
import type { Address, Family } from './address.ts';
import type { Protocol } from './compiled.ts';

/** An object that a change came from. */
export interface Cause {
  readonly kind: 'Service' | 'EndpointSlice' | 'Node';
  /** `namespace/name`; of a Node its name. */
  readonly name: string;
  /** resourceVersion; absent for an object that is gone, and for one of a file. */
  readonly version?: string;
  readonly gone?: true;
}

/** What a frontend does, as its row says. */
export interface FrontendTraits {
  /** FRONTEND_* bits of maps-schema. */
  readonly flags: number;
  readonly affinitySeconds: number;
}

export interface FrontendChange {
  readonly address: Address;
  readonly port: number;
  /** undefined: there was none. */
  readonly was?: FrontendTraits;
  /** undefined: there is none. */
  readonly is?: FrontendTraits;
}

/** Where a backend stands: in which lists, and what it is. 0: nowhere. */
export const IN_CLUSTER_LIST = 1;
export const IN_LOCAL_LIST = 2;
/** Gets no new connections, but those that it has go on. */
export const IS_KEPT = 4;
/** On this node. */
export const IS_LOCAL = 8;
export const IS_TERMINATING = 16;
export const IN_LISTS: number = IN_CLUSTER_LIST | IN_LOCAL_LIST;

export interface BackendChange {
  readonly address: Address;
  readonly port: number;
  /** The bits above. */
  readonly was: number;
  readonly is: number;
}

/** Backends that new connections may be given, and what becomes of those connections when there are none. */
export interface Serving {
  /** It has no frontends. */
  readonly absent?: true;
  readonly inside: number;
  readonly outside: number;
  readonly insideDrops?: true;
  readonly outsideDrops?: true;
}

/** What became another in one ServicePort, whichever way one reads it: `was` and `is` can change places. */
export interface PortChange {
  readonly namespace: string;
  readonly service: string;
  /** "" for an unnamed port. */
  readonly port: string;
  readonly protocol: Protocol;
  readonly family: Family;
  readonly frontends: readonly FrontendChange[];
  readonly backends: readonly BackendChange[];
  readonly was: Serving;
  readonly is: Serving;
}

interface Stamped {
  /** When it was in force, ms since the epoch. */
  readonly at: number;
}

export interface ChangeRecord extends Stamped, PortChange {
  readonly kind: 'change';
  /** None: not an object of this Service; the node or another Service changed, or it happened while no agent ran. */
  readonly by: readonly Cause[];
  /** So many objects more. */
  readonly moreBy?: number;
  /** When the endpoints changed, as their controller says, ms since the epoch. */
  readonly triggered?: number;
  /** When the agent heard of the first of the objects. */
  readonly heard?: number;
  /** Changes that there was no room for: the record does not tell all. */
  readonly moreFrontends?: number;
  readonly moreBackends?: number;
}

export interface AgentRecord extends Stamped {
  readonly kind: 'start' | 'stop';
  readonly version: string;
  readonly node: string;
  /** In force. */
  readonly services?: number;
}

/** So many changes at once that they were not written down. */
export interface OverflowRecord extends Stamped {
  readonly kind: 'overflow';
  readonly changes: number;
}

export type HistoryRecord = ChangeRecord | AgentRecord | OverflowRecord;

const MAX_FRONTENDS = 32;
const MAX_BACKENDS = 64;
const MAX_TEXT = 64;

/** Nothing that steers a terminal or turns a line around, and not endless. */
export function cleanText(text: unknown, length: number = MAX_TEXT): string {
  return typeof text === 'string' ? text.slice(0, length).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '?') : '';
}

/** The change as far as there is room for it in a record. */
export function cutChange(change: PortChange): PortChange & Pick<ChangeRecord, 'moreFrontends' | 'moreBackends'> {
  const frontends = change.frontends.slice(0, MAX_FRONTENDS);
  const backends = change.backends.slice(0, MAX_BACKENDS);
  return {
    ...change,
    frontends,
    backends,
    ...(frontends.length < change.frontends.length && { moreFrontends: change.frontends.length - frontends.length }),
    ...(backends.length < change.backends.length && { moreBackends: change.backends.length - backends.length }),
  };
}
