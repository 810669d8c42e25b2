import { expect, it } from 'vitest';
import { exportLoopDelay } from '../../../src/serve/loop-delay.ts';
import { createMetrics } from '../../../src/serve/metrics.ts';

it('exports the worst delay since the last scrape, and since the start, without its own interval', async () => {
  const metrics = createMetrics({ processMetrics: false });
  const histogram = {
    max: 0,
    enable: () => true,
    reset: () => {
      histogram.max = 0;
    },
  };
  exportLoopDelay(metrics, histogram);
  const scraped = async () =>
    [...(await metrics.scrape()).matchAll(/^sluice_event_loop_delay_max_seconds\{since="(\w+)"\} (.*)$/gm)].map(
      ([, since, seconds]) => [since, Number(seconds)],
    );
  histogram.max = 25e6;
  expect(await scraped()).toEqual([
    ['last_scrape', 0.02],
    ['start', 0.02],
  ]);
  expect(await scraped()).toEqual([
    ['last_scrape', 0],
    ['start', 0.02],
  ]);
});
