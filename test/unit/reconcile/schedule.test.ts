import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { createSchedule } from '../../../src/reconcile/schedule.ts';

describe('createSchedule', () => {
  it('runs a periodic sync although changes never cease (R-86)', async () => {
    const stop = new AbortController();
    const schedule = createSchedule({ minInterval: 0, maxInterval: 30 });
    const kinds: boolean[] = [];
    const running = schedule.run(async (periodic) => {
      kinds.push(periodic);
      if (kinds.filter(Boolean).length === 2 || kinds.length > 500) stop.abort();
      await delay(1);
      schedule.wake();
      return true;
    }, stop.signal);
    schedule.wake();
    await running;
    expect(kinds.filter(Boolean)).toHaveLength(2);
    expect(kinds.filter((periodic) => !periodic).length).toBeGreaterThan(2);
  });

  it('runs a periodic sync when nothing changes', async () => {
    const stop = new AbortController();
    const schedule = createSchedule({ minInterval: 0, maxInterval: 5 });
    const kinds: boolean[] = [];
    await schedule.run(async (periodic) => {
      kinds.push(periodic);
      if (kinds.length === 3) stop.abort();
      return true;
    }, stop.signal);
    expect(kinds).toEqual([true, true, true]);
  });

  it('tries again after a failure, before the next periodic sync', async () => {
    const stop = new AbortController();
    const schedule = createSchedule({ minInterval: 0, maxInterval: 60_000 });
    let syncs = 0;
    const running = schedule.run(async () => {
      if (++syncs === 3) stop.abort();
      return syncs > 2;
    }, stop.signal);
    schedule.wake();
    await running;
    expect(syncs).toBe(3);
  });
});
