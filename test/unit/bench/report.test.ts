import { describe, expect, it } from 'vitest';
import { aggregate } from '../../../bench/report/aggregate.ts';
import { compareReport, compareResults } from '../../../bench/report/compare.ts';
import { formatNumber } from '../../../bench/report/format.ts';
import { markdownReport } from '../../../bench/report/markdown.ts';
import { drawPlots } from '../../../bench/report/plots.ts';
import { BEGIN, END, insertSummary, summaryTable } from '../../../bench/report/readme.ts';
import type { Results, Sample } from '../../../bench/report/results.ts';
import { judge } from '../../../bench/report/targets.ts';

function series(metric: string, competitor: string, size: number, values: readonly number[]): Sample[] {
  const part = metric.startsWith('control') ? 'control' : metric.startsWith('remote') ? 'northsouth' : 'connect';
  return values.map((value, round) => ({ part, metric, competitor, size, round, value }));
}

function results(samples: readonly Sample[], extra: Partial<Results> = {}): Results {
  const machine = {
    cpu: 'Test CPU',
    cores: 2,
    arch: 'x64',
    memoryGiB: 4,
    kernel: '6.18.0',
    governor: undefined,
    virtual: true,
    node: 'v20',
    clang: 'clang 14',
    commit: 'abc',
  };
  return {
    format: 1,
    startedAt: '2026-01-02T03:04:05.000Z',
    minutes: 12.3,
    machine,
    background: 0.01,
    parts: ['connect'],
    quick: false,
    competitors: [{ name: 'direct', label: 'no balancer' }],
    samples,
    notRun: [{ part: 'northsouth', competitor: 'sluice-xdp', why: 'no XDP here' }],
    ...extra,
  };
}

const good = results([
  ...[1, 100, 30_000].flatMap((size) => [
    ...series('connect.rate', 'direct', size, [1000, 1100, 900]),
    ...series('connect.rate', 'iptables', size, [900, 990, 810]),
    ...series('connect.rate', 'sluice-socket', size, [985, 1085, 890]),
  ]),
  ...series('remote.packets', 'iptables', 1000, [100, 100, 100]),
  ...series('remote.packets', 'sluice-tc', 1000, [180, 140, 160]),
  ...series('control.resident', 'sluice-socket', 10_000, [283]),
]);

const verdict = (from: Results, text: string) => judge(from).find(({ target }) => target.includes(text));

describe('targets', () => {
  it('are met, missed, or not measured', () => {
    expect(verdict(good, '0.97 of the direct')).toMatchObject({ met: true });
    expect(verdict(good, 'never below iptables')).toMatchObject({ met: true });
    expect(verdict(good, 'flat within')).toMatchObject({ met: true });
    expect(verdict(good, 'XDP at least 3×')).toMatchObject({ met: undefined });
    expect(verdict(good, '250 MiB')).toMatchObject({ met: false, measured: '283 MiB' });
  });

  it('are not decided where rounds say either', () => {
    expect(verdict(good, 'tc at least 1.5×')).toMatchObject({ met: 'not decided', measured: '1.60×' });
    const packets = (...values: number[]) =>
      results([
        ...series('remote.packets', 'iptables', 1000, [100, 100, 100]),
        ...series('remote.packets', 'sluice-tc', 1000, values),
      ]);
    expect(verdict(packets(151, 170, 160), 'tc at least 1.5×')).toMatchObject({ met: true });
    expect(verdict(packets(149, 130, 140), 'tc at least 1.5×')).toMatchObject({ met: false });
    expect(markdownReport(good, new Map())).toContain('| not decided |');
  });

  it('judge the worst size', () => {
    const one = series('connect.rate', 'sluice-socket', 30_000, [900, 1000, 800]);
    const slow = results([
      ...good.samples.filter((s) => s.competitor !== 'sluice-socket' || s.size !== 30_000),
      ...one,
    ]);
    expect(verdict(slow, '0.97 of the direct')).toMatchObject({ met: false });
    expect(verdict(slow, 'flat within')).toMatchObject({ met: false });
  });

  it('judge packet costs against their limits', () => {
    const row = { program: 'xdp', path: 'established', limit: 40 };
    const at = (median: number) =>
      judge({ samples: [], packet: [{ ...row, nanoseconds: { median, min: 1, max: 99 } }] }).at(-1)?.met;
    expect(at(39)).toBe(true);
    expect(at(41)).toBe(false);
  });
});

describe('the report', () => {
  it('takes ratios round by round, to the base of the part', () => {
    const row = aggregate(good.samples).find(({ metric, size }) => metric === 'connect.rate' && size === 100);
    expect(row?.cells.map(({ competitor, ratio }) => [competitor, ratio?.median])).toEqual([
      ['direct', undefined],
      ['iptables', 0.9],
      ['sluice-socket', expect.closeTo(0.986, 2)],
    ]);
  });

  it('says who was not run, and what the machine is', () => {
    const text = markdownReport(good, new Map([['connect', ['x/connect-rate.svg']]]));
    expect(text).toContain('| sluice-xdp | northsouth | no XDP here |');
    expect(text).toContain('Test CPU, 2 cores of a virtual machine, 4 GiB, Linux 6.18.0');
    expect(text).toContain('](x/connect-rate.svg)');
    expect(text).toContain('1,000 (900–1,100)');
    expect(text).toMatch(/900 \(810–990\); \*\*0\.90\*\*/);
    expect(text).not.toContain('was not idle');
    expect(markdownReport(results(good.samples, { background: 0.4 }), new Map())).toContain('was not idle');
  });

  it('draws sizes as lines and a single size as bars', () => {
    const plots = new Map(drawPlots(good).map(({ file, svg }) => [file, svg]));
    expect([...plots.keys()]).toEqual(['connect-rate.svg', 'control-resident.svg', 'remote-packets.svg']);
    expect(plots.get('connect-rate.svg')?.match(/<polyline/g)).toHaveLength(3);
    expect(plots.get('remote-packets.svg')).not.toContain('<polyline');
  });

  it('writes the summary between the markers of the README, and only there', () => {
    const summary = summaryTable(good, 'bench/results/x.md');
    expect(summary).toContain('New connections from a pod to a ClusterIP, 30,000 Services');
    const readme = `before\n${BEGIN}\nold\n${END}\nafter`;
    const once = insertSummary(readme, summary);
    expect(once).toBe(`before\n${summary}\nafter`);
    expect(insertSummary(once, summary)).toBe(once);
    expect(() => insertSummary('no markers', summary)).toThrow('README has no lines');
  });

  it('formats numbers by their size', () => {
    expect([0, 0.01234, 1.234, 12.34, 123.4, 12345.6].map(formatNumber)).toEqual([
      '0',
      '0.0123',
      '1.23',
      '12.3',
      '123',
      '12,346',
    ]);
  });
});

describe('two runs compared', () => {
  const run = (rates: readonly number[]) =>
    results([
      ...series('connect.rate', 'direct', 1, [100, 100, 100]),
      ...series('connect.rate', 'sluice-socket', 1, rates),
    ]);

  it('flag what became worse beyond its spread, and nothing else', () => {
    const flags = (a: readonly number[], b: readonly number[]) =>
      compareResults(run(a), run(b)).map(({ verdict: word }) => word);
    expect(flags([97, 98, 99], [80, 81, 82])).toEqual(['WORSE']);
    expect(flags([80, 81, 82], [97, 98, 99])).toEqual(['better']);
    expect(flags([97, 98, 99], [96, 98, 99])).toEqual(['same']);
    expect(flags([80, 98, 99], [79, 81, 99])).toEqual(['same']);
    expect(flags([97, 98, 99], [95.5, 95.6, 95.7])).toEqual(['same']);
  });

  it('divide the machine out', () => {
    const slow = results(good.samples.map((sample) => ({ ...sample, value: sample.value / 2 })));
    const changed = compareResults(good, slow).filter(({ metric }) => metric === 'connect.rate');
    expect(changed.every(({ verdict: word }) => word === 'same')).toBe(true);
    expect(compareReport(changed)).toContain('| connect.rate | 1 | sluice-socket |');
  });

  it('know that less is better for some', () => {
    const memory = (value: number) => results(series('control.resident', 'sluice-socket', 100, [value]));
    expect(compareResults(memory(200), memory(300))[0]?.verdict).toBe('WORSE');
    expect(compareResults(memory(300), memory(200))[0]?.verdict).toBe('better');
  });
});
