/**
 * Walks the flow tables now and then, and soon after backends stopped serving: flows whose time is over make
 * room, and what lives is counted. Packets do not need it: they judge a flow themselves.
 */
import {
  TABLE_FLOWS_ADDED,
  TABLE_FLOWS_REMOVED,
  TABLE_HALF_OPEN_ADDED,
  TABLE_HALF_OPEN_REMOVED,
} from '../../maps-schema/gen/codecs.ts';
import type { Maps } from '../bpf/open-maps.ts';
import { forgetSignals } from '../bpf/signals.ts';
import type { Swept } from '../bpf/sweep.ts';
import { evictedEntries } from '../bpf/table-events.ts';
import type { Metrics } from '../serve/metrics.ts';
import { createSchedule } from './schedule.ts';

/** Milliseconds between two walks without a reason. */
const INTERVAL_MS = 30_000;
/** Milliseconds between two walks at least: one over full tables takes tens of milliseconds. */
const SPACING_MS = 5_000;

export interface SweeperOptions {
  /** One walk. @returns undefined before the programs are loaded */
  readonly walk: () => Promise<Swept> | undefined;
  readonly maps: () => Pick<Maps, 'tableEvents' | 'serviceSignals' | 'servicePorts'>;
  readonly metrics: Pick<Metrics, 'conntrackReconciled' | 'flows'>;
  readonly warn: (message: string) => void;
  readonly intervalMs?: number;
  readonly spacingMs?: number;
}

export interface Sweeper {
  /** Flows may have lost their backends: a walk soon. */
  wake(): void;
  /** Walks until the signal aborts. A walk that fails is told once, and tried again. */
  run(signal: AbortSignal): Promise<void>;
}

export function createSweeper(options: SweeperOptions): Sweeper {
  const { walk, metrics, intervalMs = INTERVAL_MS, spacingMs = SPACING_MS } = options;
  const schedule = createSchedule({ minInterval: spacingMs, maxInterval: intervalMs });
  let told = false;

  async function sweep(): Promise<void> {
    const began = performance.now();
    const swept = await walk();
    if (swept === undefined) return;
    const seconds = (performance.now() - began) / 1000;
    const { established, halfOpen, removed4, removed6 } = swept;
    metrics.conntrackReconciled('IPv4', seconds, removed4);
    metrics.conntrackReconciled('IPv6', seconds, removed6);
    const maps = options.maps();
    const { tableEvents } = maps;
    forgetSignals(maps);
    metrics.flows(
      'established',
      established,
      evictedEntries(tableEvents, TABLE_FLOWS_ADDED, TABLE_FLOWS_REMOVED, established),
    );
    metrics.flows(
      'half_open',
      halfOpen,
      evictedEntries(tableEvents, TABLE_HALF_OPEN_ADDED, TABLE_HALF_OPEN_REMOVED, halfOpen),
    );
  }

  return {
    wake: () => schedule.wake(),
    run: (signal) =>
      schedule.run(async () => {
        await sweep().catch((error: Error) => {
          if (!told) options.warn(error.message);
          told = true;
        });
        return true;
      }, signal),
  };
}
