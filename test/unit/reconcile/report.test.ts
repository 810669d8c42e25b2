/** What is wrong is told once, and at a rate that fills no disk. */
import { expect, it } from 'vitest';
import type { Problem } from '../../../src/model/compiled.ts';
import { createReporter } from '../../../src/reconcile/report.ts';

function setUp() {
  let now = 0;
  const told: string[] = [];
  const quiet: (string | undefined)[] = [];
  const report = createReporter({
    tell: ({ message }) => told.push(message),
    quiet: (owner) => quiet.push(owner),
    now: () => now,
  });
  const wait = (ms: number) => {
    now += ms;
  };
  return { report, told, quiet, wait };
}

const problem = (message: string, name = 'web'): Problem => ({
  kind: 'Service',
  namespace: 'default',
  name,
  field: 'spec',
  message,
});

it('each problem once, until it was gone', () => {
  const { report, told } = setUp();
  for (let i = 0; i < 3; i++) report.set('default/web', [problem('a'), problem('b')]);
  report.set('default/web', []);
  report.set('default/web', [problem('a')]);
  expect(told).toEqual(['a', 'b', 'a']);
});

it('1,000 updates of one bad object write a dozen lines, and its last state is listed', () => {
  const { report, told, quiet, wait } = setUp();
  const sixOf = (i: number) => Array.from({ length: 6 }, (_, n) => problem(`fault ${n} of update ${i}`));
  for (let i = 0; i < 1000; i++) {
    report.set('default/web', sixOf(i));
    wait(10);
  }
  expect(told).toHaveLength(12);
  expect(quiet).toEqual(['default/web']);
  expect(report.list()).toEqual(sixOf(999));
  report.set('default/other', [problem('mine', 'other')]);
  expect(told).toHaveLength(13);
  wait(60_000);
  report.set('default/web', sixOf(1000));
  expect(told).toHaveLength(19);
});

it('10,000 bad objects write 600 lines in a minute', () => {
  const { report, told, quiet } = setUp();
  for (let i = 0; i < 10_000; i++) report.set(`default/s${i}`, [problem('bad', `s${i}`)]);
  expect(told).toHaveLength(600);
  expect(quiet).toEqual([undefined]);
  expect(report.count).toBe(10_000);
});
