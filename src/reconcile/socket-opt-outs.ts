/**
 * From the pods that opt out of the socket hook to their cgroups. A pod is known before the kubelet has made its cgroup,
 * so what is missing is looked for until it is there; now and then all of them are looked up again.
 */
import { isDeepStrictEqual } from 'node:util';
import { createSchedule } from './schedule.ts';

/** Milliseconds between two looks at the least. A container starts later than its pod's cgroup is made. */
const SPACING_MS = 200;
/** So many times that at the most, while what is missing stays away. */
const SLOWEST = 10;
/** Milliseconds between two looks when nothing is missing. */
const INTERVAL_MS = 30_000;

export interface SocketOptOutsOptions {
  /** @returns ids of cgroups by the uids of pods */
  readonly find: (uids: ReadonlySet<string>) => Promise<ReadonlyMap<string, bigint>>;
  /** Told of the ids, ascending, when they differ from those of before, and the first time. */
  readonly changed: (ids: readonly bigint[]) => void;
  readonly spacingMs?: number;
  readonly intervalMs?: number;
}

export interface SocketOptOuts {
  /** @param uids of all pods that opt out from now on */
  set(uids: readonly string[]): void;
  /** Looks until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
}

export function createSocketOptOuts(options: SocketOptOutsOptions): SocketOptOuts {
  const { find, changed, spacingMs = SPACING_MS, intervalMs = INTERVAL_MS } = options;
  const schedule = createSchedule({ minInterval: spacingMs, maxInterval: intervalMs });
  let wanted: readonly string[] | undefined;
  let told: readonly bigint[] | undefined;
  let wait = spacingMs;

  return {
    set(uids) {
      wanted = uids;
      wait = spacingMs;
      schedule.wake();
    },

    run: (signal) =>
      schedule.run(async () => {
        if (wanted === undefined) return true;
        const uids = wanted;
        const found = uids.length === 0 ? new Map<string, bigint>() : await find(new Set(uids));
        const ids = uids.flatMap((uid) => found.get(uid) ?? []).sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
        if (!isDeepStrictEqual(ids, told)) changed(ids);
        told = ids;
        if (ids.length < uids.length) {
          setTimeout(() => schedule.wake(), wait).unref();
          wait = Math.min(wait * 2, spacingMs * SLOWEST);
        }
        return true;
      }, signal),
  };
}
