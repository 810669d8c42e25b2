import { describe, expect, it } from 'vitest';
import { chiSquare, upperGamma } from '../../../bench/stats/chi-square.ts';
import {
  bootstrapMedian,
  compareRounds,
  median,
  pairedRatios,
  quantile,
  spread,
} from '../../../bench/stats/summary.ts';

describe('summary', () => {
  it('takes quantiles between the two nearest values, in any order', () => {
    expect(quantile([40, 10, 30, 20], 0.5)).toBe(25);
    expect(quantile([40, 10, 30, 20], 0)).toBe(10);
    expect(quantile([40, 10, 30, 20], 1)).toBe(40);
    expect(median([3])).toBe(3);
    expect(() => quantile([], 0.5)).toThrow('no values');
    expect(spread([5, 1, 3])).toEqual({ median: 3, min: 1, max: 5, n: 3 });
  });

  it('divides each round by the same round of the base', () => {
    expect(pairedRatios([10, 40, 9], [20, 20, 3])).toEqual([0.5, 2, 3]);
    expect(pairedRatios([10, 40, 9], [20])).toEqual([0.5]);
    expect(() => pairedRatios([1], [0])).toThrow('round 0');
  });

  it('finds a ratio that the drift of the machine hides from plain medians', () => {
    const base = [100, 150, 225, 340, 500];
    const {
      median: ratio,
      low,
      high,
    } = compareRounds(
      base.map((value) => value * 0.9),
      base,
    );
    expect(ratio).toBeCloseTo(0.9);
    expect(low).toBeCloseTo(0.9);
    expect(high).toBeCloseTo(0.9);
  });

  it('gives the same bootstrap interval every time, within the range', () => {
    const values = [1, 2, 3, 4, 5, 6, 100];
    const interval = bootstrapMedian(values);
    expect(interval).toEqual(bootstrapMedian(values));
    expect(interval.low).toBeGreaterThanOrEqual(1);
    expect(interval.low).toBeLessThan(4);
    expect(interval.high).toBeGreaterThan(4);
    expect(interval.high).toBeLessThanOrEqual(100);
  });
});

describe('chi-square', () => {
  it.each([
    // degrees, statistic, p: from printed tables
    [1, 3.841, 0.05],
    [2, 5.991, 0.05],
    [9, 16.919, 0.05],
    [9, 21.666, 0.01],
    [2, 0.211, 0.9],
  ])('with %i degrees of freedom %f has the tail %f', (degrees, statistic, p) => {
    expect(upperGamma(degrees / 2, statistic / 2)).toBeCloseTo(p, 3);
  });

  it('tells an even spread from an uneven one', () => {
    expect(chiSquare([1000, 1000, 1000])).toEqual({ statistic: 0, degrees: 2, p: 1 });
    expect(chiSquare([1010, 980, 1010]).p).toBeGreaterThan(0.5);
    expect(chiSquare([1200, 900, 900]).p).toBeLessThan(1e-6);
    expect(chiSquare([1500, 1500, 0]).p).toBeLessThan(1e-6);
  });
});
