import { expect, it } from 'vitest';
import { inTurns } from '../../../src/reconcile/in-turns.ts';

/** Steps of a millisecond each. */
function* work(steps: number): Generator<void, string> {
  for (let i = 0; i < steps; i++) {
    for (const until = performance.now() + 1; performance.now() < until; );
    yield;
  }
  return 'done';
}

it('lets others have their turns', async () => {
  let turns = 0;
  const timer = setInterval(() => turns++, 0);
  try {
    expect(await inTurns(work(50), undefined, 2)).toBe('done');
  } finally {
    clearInterval(timer);
  }
  expect(turns).toBeGreaterThan(5);
});

it('rejects with what a step throws, and when the signal aborts', async () => {
  const failing = (function* () {
    yield;
    throw new Error('no');
  })();
  await expect(inTurns(failing)).rejects.toThrow('no');
  const stop = new AbortController();
  setTimeout(() => stop.abort(new Error('over')), 5);
  await expect(inTurns(work(10_000), stop.signal, 2)).rejects.toThrow('over');
});
