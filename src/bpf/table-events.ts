/** What the data path tallies of its flow tables. */
import { tally } from '../../maps-schema/gen/codecs.ts';
import type { KernelPerCpuArray } from './kernel-map.ts';

/**
 * Entries that a full table gave up for newer ones, since it was made. The parts are not read
 * at one moment: under load the number is off by what came and went meanwhile.
 * @param added index of the tally of entries that came, @param removed of those removed
 * @param present entries that are there
 */
export function evictedEntries(
  events: Pick<KernelPerCpuArray, 'lookup'>,
  added: number,
  removed: number,
  present: number,
): number {
  const total = (index: number) =>
    Number(events.lookup(index).reduce((sum, value) => sum + tally.read(value, 0).entries, 0n));
  return Math.max(0, total(added) - total(removed) - present);
}
