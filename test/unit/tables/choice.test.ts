/** Tables by which a backend is chosen: their shares, their order, and what of them stays when a backend leaves. */
import { describe, expect, it } from 'vitest';
import { ALGORITHMS } from '../../../src/model/algorithm.ts';
import type { Backend } from '../../../src/model/compiled.ts';
import { choiceLength, choiceSlots, readChoice, sharesOf, smoothSequence } from '../../../src/tables/choice.ts';
import { maglevSize, maglevTable } from '../../../src/tables/maglev.ts';
import { SLOT } from '../../../src/tables/slots.ts';

const backends = (weights: readonly number[]): Backend[] =>
  weights.map((weight, i) => ({
    address: `10.1.${i >> 8}.${i & 255}`,
    port: 80,
    local: false,
    terminating: false,
    ...(weight !== 1 && { weight }),
  }));
const ones = (count: number) => new Array<number>(count).fill(1);
const names = (count: number) => backends(ones(count)).map(({ address }) => address);

function read(algorithm: (typeof ALGORITHMS)[number], list: readonly Backend[]) {
  const slots = choiceSlots(algorithm, list, 'test', 2);
  if (slots === undefined) return undefined;
  return readChoice(Buffer.concat([Buffer.alloc(list.length * SLOT), slots.bytes]), 0, list.length);
}

describe('maglev', () => {
  it.each([2, 5, 10, 40, 100])('of %i backends each has its share of places', (count) => {
    const table = maglevTable(names(count), ones(count));
    expect(table).toHaveLength(maglevSize(count));
    for (let i = 0; i < count; i++) {
      const places = table.filter((offset) => offset === i).length;
      expect(Math.abs(places - table.length / count)).toBeLessThanOrEqual(1);
    }
  });

  it.each([
    3, 10, 40, 100, 128, 160,
  ])('of %i backends less than a fiftieth of what the others have moves when one leaves', (count) => {
    const all = names(count);
    const before = maglevTable(all, ones(count));
    for (const gone of [0, count >> 1, count - 1]) {
      const rest = all.filter((_, i) => i !== gone);
      const after = maglevTable(rest, ones(count - 1));
      const kept = before.map((offset, place) => [all[offset], rest[after[place] ?? -1]] as const);
      const others = kept.filter(([name]) => name !== all[gone]);
      const moved = others.filter(([was, is]) => was !== is).length;
      expect(moved / before.length).toBeLessThan(0.02);
    }
  });

  it('gives places by weight', () => {
    const table = maglevTable(names(3), [1, 2, 5]);
    for (const [i, weight] of [1, 2, 5].entries()) {
      const places = table.filter((offset) => offset === i).length;
      expect(Math.abs(places - (table.length * weight) / 8)).toBeLessThanOrEqual(5);
    }
  });
});

describe('weights', () => {
  it('are exact while they fit', () => {
    expect(sharesOf([100, 300, 50])).toEqual([2, 6, 1]);
    expect(sharesOf([7])).toEqual([1]);
  });

  it('are near when they do not, and nobody is left out', () => {
    const weights = [1, 65_521, 32_000, 997];
    const shares = sharesOf(weights);
    const sum = (numbers: readonly number[]) => numbers.reduce((total, n) => total + n, 0);
    expect(Math.min(...shares)).toBe(1);
    for (const [i, weight] of weights.entries())
      expect(Math.abs((shares[i] ?? 0) / sum(shares) - weight / sum(weights))).toBeLessThan(1 / 2000);
  });

  it('make a sequence without bursts', () => {
    expect(smoothSequence([1, 1, 1])).toEqual([0, 1, 2]);
    const sequence = smoothSequence([5, 1, 1]);
    expect(sequence).toHaveLength(7);
    expect(`${sequence}${sequence}`).not.toMatch(/0,0,0,0/);
  });
});

describe('the slots behind the backends', () => {
  it.each(ALGORITHMS.filter((name) => name !== 'random'))('%s is read as it was written', (algorithm) => {
    for (const weights of [ones(1), ones(9), [1, 2, 5], [3, 3, 3]]) {
      const list = backends(weights);
      const found = read(algorithm, list);
      expect(found?.algorithm).toBe(algorithm);
      expect(found?.shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1);
      if (found?.weights !== undefined) expect(found.weights).toEqual(weights);
    }
  });

  it('are none at random, and one where there is no table', () => {
    expect(choiceLength('random', backends([1, 2]))).toBe(0);
    expect(choiceLength('rr', backends(ones(100)))).toBe(1);
    expect(choiceLength('mh', backends(ones(2)))).toBe(1 + Math.ceil(16_381 / 8));
    expect(read('wrandom', backends([1, 3]))?.shares).toEqual([0.25, 0.75]);
  });
});
