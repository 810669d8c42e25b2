/**
 * No packet that is not a Service's is changed: random foreign traffic is seen the same, with and without Sluice.
 * `make fuzz-foreign` goes on with other seeds.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { differences, reportText } from './foreign/compare.ts';
import { generate } from './foreign/conversation.ts';
import { MODES, type Setup, setUp } from './foreign/modes.ts';
import type { Sight } from './foreign/record.ts';
import { type PlayOptions, play, warmUp } from './foreign/run.ts';
import { dialSockets, openSockets, serveSockets } from './foreign/sockets.ts';
import { createWorld, type World } from './foreign/world.ts';

/** One play of them takes a tenth of a second. */
const SEEDS = [1, 2, 3, 4, 5, 6];
const COUNT = 120;
/** Milliseconds, on a busy machine: what is lost is waited for. */
const LIMIT = 300_000;

const trafficOf = (seed: number) => ({ seed, conversations: generate(seed, COUNT) });
const traffic = SEEDS.map(trafficOf);
const FIRST = trafficOf(SEEDS[0] ?? 0);
const without = new Map<number, readonly Sight[]>();
let dialled: Record<string, string>;
let world: World;
let setup: Setup;

beforeAll(async () => {
  world = await createWorld();
  setup = setUp(world);
  await warmUp(world);
  for (const { seed, conversations } of traffic) without.set(seed, await play(world, conversations));
  await serveSockets(world);
  dialled = await dialSockets(world);
}, LIMIT);
afterAll(() => world?.destroy());

/** Plays one of them. @returns what differs from what was seen without Sluice, for a person */
async function partingOf(
  { seed, conversations }: (typeof traffic)[number],
  options: PlayOptions = {},
): Promise<string> {
  const before = without.get(seed) ?? [];
  const enough = (sights: readonly Sight[]) => differences(before, sights).length === 0;
  const text = reportText(conversations, differences(before, await play(world, conversations, { ...options, enough })));
  return text === '' ? '' : `SEED=${seed}\n${text}\n`;
}

/** Plays all of them. */
async function parting(): Promise<string> {
  let text = '';
  for (const one of traffic) text += await partingOf(one);
  return text;
}

it('without Sluice most of it arrives, and every time the same', { timeout: LIMIT }, async () => {
  for (const sights of without.values())
    expect(new Set(sights.map(({ conversation }) => conversation)).size).toBeGreaterThan(COUNT / 2);
  expect(Object.values(dialled).filter((result) => !result.includes(' saw '))).toEqual([]);
  expect(await parting()).toBe('');
});

describe.each(MODES)('%s', (mode) => {
  it('the same packets arrive, and sockets see the same', { timeout: LIMIT }, async () => {
    const open = await openSockets(world);
    const answers = await open.exchange();
    expect(Object.values(answers).filter((answer) => answer !== 'answered')).toEqual([]);
    await setup.under(mode, async () => {
      expect.soft(await parting()).toBe('');
      expect.soft(await open.exchange(), 'sockets that were open before').toEqual(answers);
      expect.soft(await dialSockets(world), 'new connections').toEqual(dialled);
    });
    expect(await open.exchange(), 'after Sluice').toEqual(answers);
    await open.close();
  });
});

it.each(MODES)('%s, started in the middle: what has begun goes on as it was', { timeout: LIMIT }, async (mode) => {
  let stop = async () => {};
  const act = async () => {
    stop = await setup.start(mode);
  };
  try {
    expect(await partingOf(FIRST, { meanwhile: { round: 2, act } })).toBe('');
  } finally {
    await stop();
  }
});
