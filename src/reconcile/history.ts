/** Writes down each change that was put in force, for `sluice events`. A write that fails stops nothing. */
import { type AgentRecord, cutChange, type HistoryRecord, type PortChange } from '../model/history.ts';
import { appendRecord } from '../model/history-ring.ts';
import type { Origin } from './causes.ts';

/** Changes of one sync that are written down: a Node that moves to another zone changes every Service. */
const MAX_CHANGES = 1000;

export interface History {
  /** @param origin by `namespace/name` of the Service */
  changed(changes: readonly PortChange[], origin: (service: string) => Origin): void;
  agent(kind: AgentRecord['kind'], about: Omit<AgentRecord, 'kind' | 'at'>): void;
}

export interface HistoryOptions {
  /** Memory of the map `history`. */
  readonly view: () => Buffer;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
  /** Told once until a write succeeds again. */
  readonly warn: (message: string) => void;
}

export function createHistory({ view, clock, warn }: HistoryOptions): History {
  let failing = false;

  function write(records: () => Iterable<HistoryRecord>): void {
    try {
      const ring = view();
      for (const record of records()) appendRecord(ring, record);
      failing = false;
    } catch (error) {
      if (!failing) warn(`write the history of changes: ${(error as Error).message}`);
      failing = true;
    }
  }

  return {
    changed(changes, origin) {
      if (changes.length === 0) return;
      const at = clock();
      write(function* () {
        for (const change of changes.slice(0, MAX_CHANGES)) {
          yield { kind: 'change', at, ...cutChange(change), ...origin(`${change.namespace}/${change.service}`) };
        }
        if (changes.length > MAX_CHANGES) yield { kind: 'overflow', at, changes: changes.length - MAX_CHANGES };
      });
    },
    agent: (kind, about) => write(() => [{ kind, at: clock(), ...about }]),
  };
}
