/** Waiting for a condition. */
import { setTimeout as delay } from 'node:timers/promises';

export interface PollOptions {
  /** Milliseconds until it gives up; default 10,000. */
  readonly timeoutMs?: number;
  /** Milliseconds between two looks; default 5. */
  readonly everyMs?: number;
  readonly signal?: AbortSignal;
}

/** Thrown by a condition that can no longer come true: ends the wait at once. */
export class Hopeless extends Error {}

/**
 * Looks until the condition gives something other than false or undefined. @returns that
 * @param what completes "gave up waiting to …"
 * @throws Error after the time-out, with the condition's last error as its cause
 */
export async function poll<T>(
  what: string,
  condition: () => T | false | undefined | Promise<T | false | undefined>,
  { timeoutMs = 10_000, everyMs = 5, signal }: PollOptions = {},
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    let failure: unknown;
    try {
      const value = await condition();
      if (value !== false && value !== undefined) return value;
    } catch (error) {
      if (error instanceof Hopeless) throw error;
      failure = error;
    }
    if (performance.now() > deadline) {
      const detail = failure instanceof Error ? `: ${failure.message}` : '';
      throw new Error(`gave up after ${timeoutMs} ms waiting to ${what}${detail}`, { cause: failure });
    }
    await delay(everyMs, undefined, signal === undefined ? undefined : { signal });
  }
}
