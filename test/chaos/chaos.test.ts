/** A short run of `make chaos`, always the same. */
import { expect, it } from 'vitest';
import { roundOf, runChaos } from './chaos.ts';

it('draws the same rounds from the same seed', () => {
  const names = (seed: number) =>
    Array.from({ length: 20 }, (_, n) => roundOf(seed, n).actions.map(({ action, after }) => [action.name, after]));
  expect(names(3)).toEqual(names(3));
  expect(names(3)).not.toEqual(names(4));
});

it('kernel, desired state and traffic agree after each round of trouble', async () => {
  const rounds: string[] = [];
  const report = await runChaos({ seed: Number(process.env.SEED || 1), seconds: 30, say: (text) => rounds.push(text) });
  expect(report.wrong, rounds.join('\n')).toEqual([]);
  expect(report.failed).toBe(0);
  expect(report.requests).toBeGreaterThan(100);
}, 240_000);
