/** How ready the kernel is to kill the agent when memory runs out. */
import { writeFileSync } from 'node:fs';
import { SluiceError } from '../model/errors.ts';

/** @param score -1000 to 1000. @throws SluiceError PERMISSION when the kernel refuses (lowering it needs CAP_SYS_RESOURCE). */
export function setOomScoreAdj(score: number): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', String(score));
  } catch (cause) {
    const reason = (cause as Error).message;
    throw new SluiceError(
      'PERMISSION',
      `set oomScoreAdj to ${score}: ${reason}; give CAP_SYS_RESOURCE or remove the key`,
      { cause },
    );
  }
}
