/** How long to wait before the next try: exponential, jittered, never less than the server asks for. */

export interface BackoffOptions {
  /** Upper bound of the first wait, in ms. */
  readonly initialMs: number;
  /** Upper bound of every wait, in ms. A server's Retry-After may exceed it. */
  readonly maxMs: number;
}

export interface Backoff {
  /** @param floorMs what the server asked for; @returns the wait in ms, and counts one more failure. */
  next(floorMs?: number): number;
  reset(): void;
}

/** Waits lie between half of the bound and the bound, so that many agents do not come back at once. */
export function createBackoff(options: BackoffOptions, random: () => number = Math.random): Backoff {
  let failures = 0;
  return {
    next(floorMs = 0) {
      const bound = Math.min(options.maxMs, options.initialMs * 2 ** Math.min(failures, 30));
      failures++;
      const wait = bound * (0.5 + random() / 2);
      return floorMs > 0 ? floorMs + wait / 4 : wait;
    },
    reset() {
      failures = 0;
    },
  };
}

/** Resolves after `ms`, or as soon as the signal aborts. Never rejects. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}

/**
 * @param header the value of Retry-After: seconds or an HTTP date
 * @returns ms, at most ten minutes; undefined when absent or unreadable
 */
export function parseRetryAfter(header: string | undefined, now: number = Date.now()): number | undefined {
  if (header === undefined) return undefined;
  const text = header.trim();
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now;
  if (Number.isNaN(ms)) return undefined;
  return Math.min(Math.max(ms, 0), 600_000);
}
