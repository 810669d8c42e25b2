import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { onceIdle } from '../../../src/reconcile/when-idle.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it('waits until changes have ceased for a while, and does it once', () => {
  const work = vi.fn();
  const changed = onceIdle(work, 2000, 60_000);
  vi.advanceTimersByTime(10_000);
  expect(work).not.toHaveBeenCalled();
  for (let i = 0; i < 10; i++) {
    changed();
    vi.advanceTimersByTime(1999);
  }
  expect(work).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1);
  expect(work).toHaveBeenCalledOnce();
  changed();
  vi.advanceTimersByTime(10_000);
  expect(work).toHaveBeenCalledOnce();
});

it('does not wait forever for changes that never cease', () => {
  const work = vi.fn();
  const changed = onceIdle(work, 2000, 10_000);
  for (let i = 0; i < 9; i++) {
    changed();
    vi.advanceTimersByTime(1000);
  }
  expect(work).not.toHaveBeenCalled();
  changed();
  vi.advanceTimersByTime(1000);
  expect(work).toHaveBeenCalledOnce();
  changed();
  vi.advanceTimersByTime(60_000);
  expect(work).toHaveBeenCalledOnce();
});
