/**
 * Walks the flow tables now and then: flows whose time is over make room, and what lives is counted.
 * Packets do not need it: they judge a flow themselves.
 */
import { setTimeout as delay } from 'node:timers/promises';
import {
  TABLE_FLOWS_ADDED,
  TABLE_FLOWS_REMOVED,
  TABLE_HALF_OPEN_ADDED,
  TABLE_HALF_OPEN_REMOVED,
} from '../../maps-schema/gen/codecs.ts';
import type { Maps } from '../bpf/open-maps.ts';
import { runSweep } from '../bpf/sweep.ts';
import { evictedEntries } from '../bpf/table-events.ts';
import type { Metrics } from '../serve/metrics.ts';

/** Milliseconds between two walks. */
const INTERVAL_MS = 30_000;

export interface SweeperOptions {
  /** Descriptor of the program; undefined: this kernel has none (before 5.14). */
  readonly program: () => number | undefined;
  readonly maps: () => Pick<Maps, 'tableEvents'>;
  readonly metrics: Metrics;
  readonly warn: (message: string) => void;
  readonly intervalMs?: number;
}

/** Walks until the signal aborts. A walk that fails is told once, and tried again. */
export async function runSweeper(options: SweeperOptions, signal: AbortSignal): Promise<void> {
  const { metrics, intervalMs = INTERVAL_MS } = options;
  let told = false;
  while (!signal.aborted) {
    await delay(intervalMs, undefined, { signal }).catch(() => {});
    const program = options.program();
    if (signal.aborted || program === undefined) continue;
    try {
      const began = performance.now();
      const { established, halfOpen, removed4, removed6 } = await runSweep(program);
      const seconds = (performance.now() - began) / 1000;
      metrics.conntrackReconciled('IPv4', seconds, removed4);
      metrics.conntrackReconciled('IPv6', seconds, removed6);
      const { tableEvents } = options.maps();
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
    } catch (error) {
      if (!told) options.warn((error as Error).message);
      told = true;
    }
  }
}
