import { expect, it } from 'vitest';
import { createBackoff, parseRetryAfter, sleep } from '../../../src/kube/backoff.ts';
import { isOlder } from '../../../src/kube/version.ts';

it('doubles up to its bound, with jitter below it', () => {
  const longest = createBackoff({ initialMs: 100, maxMs: 1_000 }, () => 1);
  expect([1, 2, 3, 4, 5, 6].map(() => longest.next())).toEqual([100, 200, 400, 800, 1_000, 1_000]);
  const shortest = createBackoff({ initialMs: 100, maxMs: 1_000 }, () => 0);
  expect([1, 2].map(() => shortest.next())).toEqual([50, 100]);
  longest.reset();
  expect(longest.next()).toBe(100);
});

it('waits no less than the server asks', () => {
  const backoff = createBackoff({ initialMs: 1, maxMs: 10 }, () => 0);
  expect(backoff.next(5_000)).toBeGreaterThanOrEqual(5_000);
});

it('reads Retry-After as seconds and as a date', () => {
  expect(parseRetryAfter('3')).toBe(3_000);
  expect(parseRetryAfter('Thu, 01 Jan 1970 00:00:10 GMT', 4_000)).toBe(6_000);
  expect(parseRetryAfter('Thu, 01 Jan 1970 00:00:10 GMT', 40_000)).toBe(0);
  expect(parseRetryAfter('999999')).toBe(600_000);
  expect(parseRetryAfter('soon')).toBeUndefined();
  expect(parseRetryAfter(undefined)).toBeUndefined();
});

it('stops sleeping when the signal aborts', async () => {
  const controller = new AbortController();
  const slept = sleep(3_600_000, controller.signal);
  controller.abort();
  await slept;
  await sleep(3_600_000, controller.signal);
});

it('compares versions as numbers of any size', () => {
  expect(isOlder('9', '10')).toBe(true);
  expect(isOlder('10', '9')).toBe(false);
  expect(isOlder('10', '10')).toBe(false);
  expect(isOlder('99999999999999999998', '99999999999999999999')).toBe(true);
  expect(isOlder('abc', '1')).toBe(false);
  expect(isOlder(undefined, '1')).toBe(false);
});
