/**
 * Compares the kernel's maps with what was written and puts them right, a little at a time: a change that
 * comes meanwhile waits for one step, not for all rows.
 */
import { setTimeout as rest } from 'node:timers/promises';
import type { Tables } from '../tables/tables.ts';

/** Milliseconds that one turn may take; the last step in it may end later. */
const TURN_MS = 1;
/** Milliseconds between two turns. */
const REST_MS = 4;

export interface DriftCheckOptions {
  /** Rows that were not what they should have been, once they are put right; told at the end of a check. */
  readonly repaired: (rows: number) => void;
  /** Told of what could not be put right; the next check tries again. */
  readonly warn: (message: string) => void;
  readonly turnMs?: number;
  readonly restMs?: number;
}

export interface DriftCheck {
  /**
   * Begins a check, unless one is under way; the first turn is over when this returns. Never throws.
   * @param signal ends it early
   */
  start(tables: Pick<Tables, 'repair'>, signal: AbortSignal): void;
}

export function createDriftCheck(options: DriftCheckOptions): DriftCheck {
  const { repaired, warn, turnMs = TURN_MS, restMs = REST_MS } = options;
  let running = false;

  async function check(steps: Generator<number, void>, signal: AbortSignal): Promise<void> {
    let rows = 0;
    try {
      for (let until = performance.now() + turnMs; ; ) {
        const step = steps.next();
        if (step.done) return;
        rows += step.value;
        if (performance.now() < until) continue;
        await rest(restMs, undefined, { signal });
        until = performance.now() + turnMs;
      }
    } catch (error) {
      if (!signal.aborted) warn((error as Error).message);
    } finally {
      steps.return();
      running = false;
      if (rows > 0) repaired(rows);
    }
  }

  return {
    start(tables, signal) {
      if (running) return;
      running = true;
      void check(tables.repair(), signal);
    },
  };
}
