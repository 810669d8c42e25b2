/** Times and sizes of the reflector. Tests make them small. */
import type { BackoffOptions } from './backoff.ts';
import type { SilenceOptions } from './silence.ts';

/** Progress for people who debug: never needed to understand a fault. */
export type Log = (message: string, fields: Readonly<Record<string, unknown>>) => void;

export interface ReflectorOptions {
  /** Objects a list page. */
  readonly pageSize: number;
  /** Each watch asks for a random time between the two, in s, so that agents do not return together. */
  readonly watchSeconds: readonly [number, number];
  /** A connection that carries no byte for so long is cut, in ms. Servers send a bookmark about once a minute. */
  readonly inactivityMs: number;
  /** A request other than a list is given up when it is not answered for so long, in ms. */
  readonly headersMs: number;
  /** When a silent server is asked, and given up. */
  readonly silence: SilenceOptions;
  /** Wait before a list that takes much away is asked for once more, in ms. */
  readonly confirmMs: number;
  /** A watch that lasted so long, in ms, was a good one: the next starts at once. */
  readonly steadyMs: number;
  readonly backoff: BackoffOptions;
  /** Wait before an optional collection that was refused (401, 403, 404) is asked for again, in ms. */
  readonly refusedMs: number;
  /** Longest line of a watch. etcd takes objects up to 1.5 MB. */
  readonly maxLineBytes: number;
  /** Servers may answer resourceVersion=0 with everything in one page. */
  readonly maxPageBytes: number;
  readonly log: Log | undefined;
}

export const DEFAULT_REFLECTOR_OPTIONS: ReflectorOptions = {
  pageSize: 500,
  watchSeconds: [300, 600],
  inactivityMs: 90_000,
  headersMs: 15_000,
  silence: { silentMs: 30_000, answerMs: 15_000 },
  confirmMs: 1_000,
  steadyMs: 1_000,
  backoff: { initialMs: 200, maxMs: 30_000 },
  refusedMs: 300_000,
  maxLineBytes: 8 * 1024 * 1024,
  maxPageBytes: 384 * 1024 * 1024,
  log: undefined,
};
