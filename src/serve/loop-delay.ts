/** How long the event loop was held up: while it is, no probe is answered and no change is heard. */
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import type { Metrics } from './metrics.ts';

/** Milliseconds between two looks: what is delayed less is not seen. */
const RESOLUTION_MS = 5;

/** Exports the worst delay since the last scrape, and since the start. */
export function exportLoopDelay(
  metrics: Pick<Metrics, 'loopDelay' | 'onScrape'>,
  histogram: Pick<IntervalHistogram, 'enable' | 'max' | 'reset'> = monitorEventLoopDelay({ resolution: RESOLUTION_MS }),
): void {
  let worst = 0;
  histogram.enable();
  metrics.onScrape(() => {
    // The timer's own interval is in what is measured.
    const seconds = Math.max(0, histogram.max / 1e9 - RESOLUTION_MS / 1e3);
    histogram.reset();
    worst = Math.max(worst, seconds);
    metrics.loopDelay(seconds, worst);
  });
}
