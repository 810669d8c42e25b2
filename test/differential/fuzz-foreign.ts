/**
 * Foreign traffic for as long as one likes: `make fuzz-foreign SEED=… TIME=… MODE=…`. SEED: of the first traffic, the
 * next ones follow it; TIME: seconds; MODE: the only way to run Sluice, e.g. `xdp`. Ends with 1 after the first batch
 * that saw a difference.
 */
import { differences, reportText } from './foreign/compare.ts';
import { generate } from './foreign/conversation.ts';
import { MODES, type Mode, type Setup, setUp } from './foreign/modes.ts';
import type { Sight } from './foreign/record.ts';
import { play, warmUp } from './foreign/run.ts';
import { createWorld, type World } from './foreign/world.ts';

const COUNT = 120;
/** Traffics that are seen without Sluice, then with it: starting it takes longer than they do. */
const BATCH = 10;

const say = (text: string) => process.stdout.write(`${text}\n`);

interface Traffic {
  readonly seed: number;
  readonly without: readonly Sight[];
}

/** @returns whether all of them are seen the same */
async function compare(world: World, setup: Setup, mode: Mode, batch: readonly Traffic[]): Promise<boolean> {
  return await setup.under(mode, async () => {
    let good = true;
    for (const { seed, without } of batch) {
      const conversations = generate(seed, COUNT);
      const enough = (sights: readonly Sight[]) => differences(without, sights).length === 0;
      const found = differences(without, await play(world, conversations, { enough }));
      if (found.length === 0) continue;
      good = false;
      say(
        `SEED=${seed}, ${mode}: ${found.length} of ${COUNT} conversations differ\n${reportText(conversations, found)}`,
      );
    }
    return good;
  });
}

const { SEED, TIME, MODE } = process.env;
const modes = MODES.filter((mode) => mode.includes(MODE ?? ''));
if (modes.length === 0) throw new Error(`MODE=${MODE}: none of ${MODES.join(', ')}`);
const first = SEED ? Number(SEED) : Math.floor(Math.random() * 2 ** 32);
const seconds = Number(TIME || 60);
say(`SEED=${first}`);
const world = await createWorld();
try {
  const setup = setUp(world);
  await warmUp(world);
  const begin = performance.now();
  let seed = first;
  let good = true;
  for (let i = 0; good && (i === 0 || performance.now() - begin < seconds * 1000); i++) {
    const batch: Traffic[] = [];
    for (let n = 0; n < BATCH && (n === 0 || performance.now() - begin < seconds * 1000); n++, seed++)
      batch.push({ seed, without: await play(world, generate(seed, COUNT)) });
    const mode = modes[i % modes.length] as Mode;
    good = await compare(world, setup, mode, batch);
    if (good)
      say(`${Math.round((performance.now() - begin) / 1000)} s: up to SEED=${seed - 1}, ${mode}, no difference`);
  }
  process.exitCode = good ? 0 : 1;
} finally {
  await world.destroy();
}
