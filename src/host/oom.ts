/** How ready the kernel is to kill the agent when memory runs out. */
import { writeFileSync } from 'node:fs';

/**
 * Without the right the agent keeps its own score: packets need no agent.
 * @param score -1000 to 1000
 * @param warn told when the kernel refuses (lowering it needs CAP_SYS_RESOURCE)
 */
export function setOomScoreAdj(score: number, warn: (message: string) => void): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', String(score));
  } catch (error) {
    const reason = (error as Error).message;
    warn(`set oomScoreAdj to ${score}: ${reason}; the agent runs without: give CAP_SYS_RESOURCE or remove the key`);
  }
}
