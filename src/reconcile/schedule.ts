/** When to sync: level-triggered, coalesced, at most once per minimum and at least once per maximum interval. */

export interface ScheduleOptions {
  /** Milliseconds between the starts of two syncs at least; 0: none. */
  readonly minInterval: number;
  /** Milliseconds after which a sync runs although nothing changed, and after a failure. */
  readonly maxInterval: number;
  /** Milliseconds that only grow. */
  readonly now?: () => number;
}

export interface Schedule {
  /** Something changed: a sync soon. Cheap, may be called for each event. */
  wake(): void;
  /** Runs syncs until the signal aborts. `sync` must not throw; it returns false to be tried again. */
  run(sync: (periodic: boolean) => Promise<boolean>, signal: AbortSignal): Promise<void>;
}

/** Milliseconds before the first retry of a failed sync; doubled each time up to the maximum interval. */
const FIRST_RETRY = 100;

export function createSchedule(options: ScheduleOptions): Schedule {
  const now = options.now ?? (() => performance.now());
  let woken = false;
  let ring: (() => void) | undefined;

  /** Resolves when woken, aborted, or after some milliseconds. @returns whether it was woken. */
  function rest(milliseconds: number, wakeable: boolean, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        ring = undefined;
        resolve();
      };
      const timer = setTimeout(done, milliseconds);
      signal.addEventListener('abort', done, { once: true });
      if (wakeable) ring = done;
      if (signal.aborted || (wakeable && woken)) done();
    });
  }

  return {
    wake() {
      woken = true;
      ring?.();
    },

    async run(sync, signal) {
      let retry = 0;
      let lastPeriodic = now();
      while (!signal.aborted) {
        const due = Math.max(0, lastPeriodic + options.maxInterval - now());
        await rest(retry > 0 ? retry : due, true, signal);
        if (signal.aborted) return;
        // Events that are already on their way join this sync.
        await new Promise((resolve) => setImmediate(resolve));
        const started = now();
        // Changes that never cease do not put it off.
        const periodic = !woken || started - lastPeriodic >= options.maxInterval;
        if (periodic) lastPeriodic = started;
        woken = false;
        const ok = await sync(periodic);
        retry = ok ? 0 : Math.min(options.maxInterval, Math.max(FIRST_RETRY, retry * 2));
        const left = options.minInterval - (now() - started);
        if (left > 0) await rest(left, false, signal);
      }
    },
  };
}
