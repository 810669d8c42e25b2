import { expect, it } from 'vitest';
import type { Competitor } from '../../../bench/competitors/competitor.ts';
import { type Context, inTurn } from '../../../bench/parts/context.ts';
import type { Sample } from '../../../bench/report/results.ts';

/** @param noise of a round: the competitor's value, where the base has 100 @returns how many rounds there were */
async function roundsWith(noise: (round: number) => number, quick = false): Promise<number> {
  const samples: Sample[] = [];
  const competitors = ['direct', 'one'].map((name) => ({ name }) as Competitor);
  const context = { plan: { sizes: [1], rounds: 4, seconds: 1, quick }, samples } as unknown as Context;
  let rounds = 0;
  await inTurn(context, competitors, { part: 'connect', metric: 'm', size: 1 }, async ({ name }, round) => {
    rounds = round + 1;
    const value = name === 'direct' ? 100 : noise(round);
    samples.push({ part: 'connect', metric: 'm', competitor: name, size: 1, round, value });
  });
  return rounds;
}

it('there are as many rounds as planned while they agree', async () => {
  expect(await roundsWith((round) => 90 + (round % 2))).toBe(4);
});

it('there are more while they do not, but not without end', async () => {
  expect(await roundsWith((round) => (round < 2 ? 60 : 90))).toBeGreaterThan(4);
  expect(await roundsWith((round) => (round % 2 === 0 ? 50 : 100))).toBe(12);
  expect(await roundsWith((round) => (round % 2 === 0 ? 50 : 100), true)).toBe(4);
});
