import { describe, expect, it } from 'vitest';
import { readOptions } from '../../../bench/options.ts';
import { barPlot, escapeText, linePlot, shortNumber, ticks } from '../../../bench/report/svg.ts';

describe('plots', () => {
  it('has round steps that reach the highest value', () => {
    expect(ticks(10)).toEqual([0, 2, 4, 6, 8, 10]);
    expect(ticks(23_400)).toEqual([0, 5000, 10_000, 15_000, 20_000, 25_000]);
    expect(ticks(0.7)).toEqual([0, 0.2, 0.4, 0.6, 0.8]);
    expect(ticks(0)).toEqual([0, 1]);
  });

  it('shortens numbers', () => {
    expect([0, 0.25, 950, 12_000, 1_500_000].map(shortNumber)).toEqual(['0', '0.25', '950', '12k', '1.5M']);
  });

  it('puts every size in its place on a logarithmic axis', () => {
    const points = [1, 10, 100].map((x) => ({ x, y: x, low: x, high: x }));
    const svg = linePlot({ title: 'T', xLabel: 'x', yLabel: 'y', series: [{ name: 'one', points }] });
    const [a = 0, b = 0, c = 0] = [...svg.matchAll(/<circle cx="([\d.]+)"/g)].map((match) => Number(match[1]));
    expect(b - a).toBeCloseTo(c - b, 0);
    expect(a).toBeLessThan(b);
  });

  it('draws bars as high as their values', () => {
    const bar = (value: number) => ({ name: 'n', value, low: value, high: value });
    const svg = barPlot({ title: 'T', yLabel: 'y', bars: [bar(5), bar(10)] });
    const heights = [...svg.matchAll(/<rect x[^>]*height="([\d.]+)"/g)].map((match) => Number(match[1]));
    expect((heights[1] ?? 0) / (heights[0] ?? 1)).toBeCloseTo(2, 2);
  });

  it('escapes what names bring along', () => {
    expect(escapeText('a<b & "c">')).toBe('a&lt;b &amp; &quot;c&quot;&gt;');
    expect(barPlot({ title: '<&>', yLabel: '', bars: [{ name: 'x', value: 1, low: 1, high: 1 }] })).toContain(
      '&lt;&amp;&gt;',
    );
  });
});

describe('what a run is asked for', () => {
  it('is everything by default, and fit for the README only then', () => {
    expect(readOptions({}, false)).toMatchObject({ complete: true, out: 'bench/results' });
    expect(readOptions({ PARTS: 'connect' }, false)).toMatchObject({ complete: false, parts: ['connect'] });
    expect(readOptions({ SIZES: '100,1' }, false)).toMatchObject({ complete: false, plan: { sizes: [1, 100] } });
    expect(readOptions({}, true)).toMatchObject({ complete: false, plan: { quick: true } });
  });

  it('is refused when it makes no sense', () => {
    expect(() => readOptions({ PARTS: 'connect,nonsense' }, false)).toThrow('there is no nonsense');
    expect(() => readOptions({ SIZES: '1,x' }, false)).toThrow('whole numbers');
  });
});
