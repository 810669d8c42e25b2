/**
 * Chaos for as long as one likes: `make chaos SEED=… TIME=…`. SEED: of the actions, the same ones in the same order each time; TIME:
 * seconds. Ends with 1 after the first round in which kernel, desired state and traffic did not agree.
 */
import { runChaos } from './chaos.ts';

const { SEED, TIME } = process.env;
const seed = SEED ? Number(SEED) : Math.floor(Math.random() * 2 ** 31);
const say = (text: string) => void process.stdout.write(`${text}\n`);
say(`SEED=${seed}`);
const { rounds, requests, failed, wrong } = await runChaos({ seed, seconds: Number(TIME || 600), say });
for (const text of wrong) say(text);
say(`SEED=${seed}: ${rounds} rounds, ${requests} requests, ${failed} failed`);
process.exit(wrong.length === 0 ? 0 : 1);
