/** HZ of the running kernel, which no file tells: measured with the program `read_jiffies`. */
import { setTimeout } from 'node:timers/promises';
import { SluiceError } from '../model/errors.ts';
import { testRun } from './test-run.ts';

/** What kernels are built with. */
const RATES = [100, 250, 300, 1000] as const;
/** Long enough for 250 and 300 to differ by five ticks, where a reading is wrong by one at most. */
const WAIT_MS = 100;
const MAX_ERROR = 0.07;

/** @returns the rate that a count of ticks in a time means, or undefined when it is near none. */
export function nearestRate(ticks: number, seconds: number): number | undefined {
  const measured = ticks / seconds;
  const nearest = RATES.reduce((best, rate) => (Math.abs(rate - measured) < Math.abs(best - measured) ? rate : best));
  return Math.abs(nearest - measured) <= nearest * MAX_ERROR + 1 / seconds ? nearest : undefined;
}

/**
 * Counts jiffies over 0.1 s, longer when the result is near none of the known rates.
 * @param programFd descriptor of `read_jiffies`.
 * @throws SluiceError LOAD_FAILED when the program cannot run or the rate stays unclear; AbortError.
 */
export async function measureJiffiesPerSecond(programFd: number, signal?: AbortSignal): Promise<number> {
  const frame = Buffer.alloc(64);
  const read = () => ({ jiffies: testRun(programFd, { data: frame }).retval, at: process.hrtime.bigint() });
  const start = read();
  for (let attempt = 1; attempt <= 5; attempt++) {
    await setTimeout(WAIT_MS * attempt, undefined, { signal });
    const end = read();
    const rate = nearestRate((end.jiffies - start.jiffies) >>> 0, Number(end.at - start.at) / 1e9);
    if (rate !== undefined) return rate;
  }
  throw new SluiceError('LOAD_FAILED', 'measure the jiffies per second: the count fits no known rate; try again');
}
