/** What is amiss with the agent itself, looked at every second: told when it begins and when it ends, and in `sluice status`. */
import { setTimeout as rest } from 'node:timers/promises';
import type { Condition } from '../model/agent-report.ts';

/** Milliseconds between two looks. */
const INTERVAL_MS = 1000;

export interface Check {
  /** What it looks at, in a word or two: `log`, `API server`. */
  readonly what: string;
  /** Cheap: it holds up everything else. @returns what is amiss; undefined: nothing */
  readonly look: () => string | undefined;
  /** Told by its own log lines, or of no use in the log: not told here. */
  readonly silent?: boolean;
}

export interface ConditionsOptions {
  readonly checks: readonly Check[];
  /** Told once when something is amiss; the text may change while it is. */
  readonly warn: (message: string) => void;
  /** Told when it is over. */
  readonly inform: (message: string) => void;
  /** Called after looks that found a change. */
  readonly changed: () => void;
  /** Milliseconds since the epoch. */
  readonly clock?: () => number;
  readonly intervalMs?: number;
}

export interface Conditions {
  /** What is amiss now, in the order of the checks. */
  list(): Condition[];
  /** Looks at once. */
  look(): void;
  /** Looks until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
}

export function createConditions(options: ConditionsOptions): Conditions {
  const { checks, warn, inform, changed, clock = Date.now, intervalMs = INTERVAL_MS } = options;
  const known = new Map<string, Condition>();

  function messageOf({ look }: Check): string | undefined {
    try {
      return look();
    } catch (error) {
      return (error as Error).message;
    }
  }

  function look(): void {
    let differs = false;
    for (const check of checks) {
      const { what, silent = false } = check;
      const message = messageOf(check);
      const before = known.get(what);
      if (message === before?.message) continue;
      differs = true;
      if (message === undefined) {
        known.delete(what);
        if (!silent) inform(`${what}: well again`);
        continue;
      }
      known.set(what, { what, message, since: before?.since ?? new Date(clock()).toISOString() });
      if (before === undefined && !silent) warn(`${what}: ${message}`);
    }
    if (differs) changed();
  }

  return {
    list: () => checks.flatMap(({ what }) => known.get(what) ?? []),
    look,
    async run(signal) {
      while (!signal.aborted) {
        look();
        await rest(intervalMs, undefined, { signal }).catch(() => {});
      }
    },
  };
}
