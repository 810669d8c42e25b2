import { expect, onTestFinished, test } from 'vitest';
import { createSocketOptOuts } from '../../../src/reconcile/socket-opt-outs.ts';
import { until } from '../kube/recorder.ts';

function start(cgroups: Map<string, bigint>) {
  const told: (readonly bigint[])[] = [];
  let looks = 0;
  const optOuts = createSocketOptOuts({
    find: async () => {
      looks++;
      return cgroups;
    },
    changed: (ids) => told.push(ids),
    spacingMs: 1,
    intervalMs: 50,
  });
  const stop = new AbortController();
  const running = optOuts.run(stop.signal);
  onTestFinished(async () => {
    stop.abort();
    await running;
  });
  return { optOuts, told, looks: () => looks };
}

test('a cgroup is looked for until it is there, and forgotten with its pod', async () => {
  const cgroups = new Map<string, bigint>([['other', 9n]]);
  const { optOuts, told, looks } = start(cgroups);
  optOuts.set(['a', 'b']);
  await until(() => looks() > 3);
  expect(told).toEqual([[]]);
  cgroups.set('b', 7n);
  await until(() => told.length === 2);
  cgroups.set('a', 30n);
  await until(() => told.length === 3);
  optOuts.set(['a']);
  await until(() => told.length === 4);
  // Made anew under the same name: found at the next look without a cause.
  cgroups.set('a', 31n);
  await until(() => told.length === 5);
  optOuts.set([]);
  await until(() => told.length === 6);
  expect(told.slice(1)).toEqual([[7n], [7n, 30n], [30n], [31n], []]);
});

test('nothing is told before the pods are known: rows of a former run stay', async () => {
  const { told, looks, optOuts } = start(new Map());
  await new Promise((resolve) => setTimeout(resolve, 150));
  expect([told, looks()]).toEqual([[], 0]);
  optOuts.set([]);
  await until(() => told.length === 1);
  expect([told, looks()]).toEqual([[[]], 0]);
});
