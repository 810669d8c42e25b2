import { expect, it, vi } from 'vitest';
import { createDriftCheck } from '../../../src/reconcile/drift-check.ts';

/** Steps of a repair that finds one row in each. */
function* steps(count: number, before: (step: number) => void = () => {}): Generator<number, void> {
  for (let step = 0; step < count; step++) {
    before(step);
    yield 1;
  }
}

function setUp(turnMs = 0) {
  const repaired = vi.fn<(rows: number) => void>();
  const warn = vi.fn<(message: string) => void>();
  const check = createDriftCheck({ repaired, warn, turnMs, restMs: 0 });
  return { check, repaired, warn, stop: new AbortController() };
}

it('tells how many rows were put right, once all are looked at (R-91)', async () => {
  const { check, repaired, warn, stop } = setUp();
  check.start({ repair: () => steps(20) }, stop.signal);
  await vi.waitFor(() => expect(repaired.mock.calls).toEqual([[20]]));
  expect(warn).not.toHaveBeenCalled();
});

it('lets others have their turn between two steps', async () => {
  const { check, repaired, stop } = setUp();
  let turns = 0;
  const turn = setInterval(() => turns++, 0);
  const seen: number[] = [];
  check.start({ repair: () => steps(20, () => seen.push(turns)) }, stop.signal);
  expect(seen).toEqual([0]);
  await vi.waitFor(() => expect(repaired).toHaveBeenCalled());
  clearInterval(turn);
  expect(new Set(seen).size).toBeGreaterThan(1);
});

it('does several steps in a turn that has time for them', () => {
  const { check, repaired, stop } = setUp(60_000);
  check.start({ repair: () => steps(20) }, stop.signal);
  expect(repaired.mock.calls).toEqual([[20]]);
});

it('has one check under way at most, and then another', async () => {
  const { check, repaired, stop } = setUp();
  const repair = vi.fn(() => steps(5));
  for (let i = 0; i < 3; i++) check.start({ repair }, stop.signal);
  await vi.waitFor(() => expect(repaired).toHaveBeenCalledOnce());
  expect(repair).toHaveBeenCalledOnce();
  check.start({ repair }, stop.signal);
  await vi.waitFor(() => expect(repaired).toHaveBeenCalledTimes(2));
});

it('warns of what cannot be put right, and can be started again', async () => {
  const { check, repaired, warn, stop } = setUp();
  const fail = (step: number) => {
    if (step === 3) throw new Error('no room');
  };
  check.start({ repair: () => steps(5, fail) }, stop.signal);
  await vi.waitFor(() => expect(warn.mock.calls).toEqual([['no room']]));
  await vi.waitFor(() => expect(repaired.mock.calls).toEqual([[3]]));
  check.start({ repair: () => steps(1) }, stop.signal);
  await vi.waitFor(() => expect(repaired).toHaveBeenCalledTimes(2));
});

it('ends with the signal, without a word', async () => {
  const { check, repaired, warn, stop } = setUp();
  let closed = false;
  function* endless(): Generator<number, void> {
    try {
      for (;;) yield 0;
    } finally {
      closed = true;
    }
  }
  check.start({ repair: endless }, stop.signal);
  stop.abort();
  await vi.waitFor(() => expect(closed).toBe(true));
  expect([repaired.mock.calls, warn.mock.calls]).toEqual([[], []]);
});
