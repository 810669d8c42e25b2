/** The kernel's jiffies, and HZ, which no file tells. */
import { setTimeout } from 'node:timers/promises';
import { SluiceError } from '../model/errors.ts';
import { kernelError } from './errno.ts';
import { callHelper, exit, loadInstructions } from './instructions.ts';
import { close } from './syscall.ts';
import { testRun } from './test-run.ts';

const PROG_TYPE_SCHED_CLS = 3;
const HELPER_JIFFIES64 = 118;

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

export interface JiffiesReader {
  /** Low 32 bits of the kernel's jiffies, as flows are stamped with them. */
  read(): number;
  close(): void;
}

/** @throws SluiceError PERMISSION or LOAD_FAILED. */
export function openJiffies(): JiffiesReader {
  const fd = loadInstructions(PROG_TYPE_SCHED_CLS, [callHelper(HELPER_JIFFIES64), exit()]);
  if (fd < 0) throw kernelError('LOAD_FAILED', 'load a program that reads jiffies', 'BPF_PROG_LOAD', -fd);
  const frame = Buffer.alloc(64);
  return { read: () => testRun(fd, { data: frame }).retval, close: () => close(fd) };
}

/**
 * Counts jiffies over 0.1 s, longer when the result is near none of the known rates.
 * @throws SluiceError LOAD_FAILED when no program can run or the rate stays unclear; AbortError.
 */
export async function measureJiffiesPerSecond(signal?: AbortSignal): Promise<number> {
  const reader = openJiffies();
  const read = () => ({ jiffies: reader.read(), at: process.hrtime.bigint() });
  try {
    const start = read();
    for (let attempt = 1; attempt <= 5; attempt++) {
      await setTimeout(WAIT_MS * attempt, undefined, { signal });
      const end = read();
      const rate = nearestRate((end.jiffies - start.jiffies) >>> 0, Number(end.at - start.at) / 1e9);
      if (rate !== undefined) return rate;
    }
  } finally {
    reader.close();
  }
  throw new SluiceError('LOAD_FAILED', 'measure the jiffies per second: the count fits no known rate; try again');
}
