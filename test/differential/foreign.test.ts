/**
 * No packet that is not a Service's is changed: random foreign traffic is seen the same, with and without Sluice.
 * `make fuzz-foreign` goes on with other seeds.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { differences, reportText } from './foreign/compare.ts';
import { generate } from './foreign/conversation.ts';
import { MODES, type Setup, setUp } from './foreign/modes.ts';
import type { Sight } from './foreign/record.ts';
import { play, warmUp } from './foreign/run.ts';
import { playSockets, serveSockets } from './foreign/sockets.ts';
import { createWorld, type World } from './foreign/world.ts';

const SEED = 1;
const COUNT = 120;

const conversations = generate(SEED, COUNT);
let world: World;
let setup: Setup;
let without: readonly Sight[];
let talked: Record<string, string>;

beforeAll(async () => {
  world = await createWorld();
  setup = setUp(world);
  await warmUp(world);
  without = await play(world, conversations);
  await serveSockets(world);
  talked = await playSockets(world, 0);
});
afterAll(() => world?.destroy());

it('without Sluice most of it arrives, and every time the same', async () => {
  const seen = new Set(without.map(({ conversation }) => conversation));
  expect(seen.size).toBeGreaterThan(COUNT / 2);
  expect(Object.values(talked).filter((result) => !result.includes(' saw '))).toEqual([]);
  expect(reportText(conversations, differences(without, await play(world, conversations)))).toBe('');
});

describe.each(MODES)('%s', (mode) => {
  it(`the same packets arrive: seed ${SEED}`, async () => {
    await setup.under(mode, async () => {
      const same = (sights: readonly Sight[]) => differences(without, sights).length === 0;
      const found = differences(without, await play(world, conversations, same));
      expect.soft(reportText(conversations, found), `SEED=${SEED}`).toBe('');
      expect(await playSockets(world, 1 + MODES.indexOf(mode))).toEqual(talked);
    });
  });
});
