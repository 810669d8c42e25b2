/** Gives the memory back that the first lists took: much more than what stays of them. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { mallocTrim } from './ffi.ts';

/**
 * Collects all garbage at once: some tenths of a second with ten thousand Services. That is for the moment after
 * the first sync: packets do not wait for the agent, and later collections have less to go through.
 */
export function releaseMemory(): void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  setFlagsFromString('--no-expose-gc');
  collect();
  mallocTrim(0);
}
