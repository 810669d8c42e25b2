/** Part 4: nanoseconds a packet of each program and path. */
import type { PacketCost } from '../report/results.ts';
import type { Context } from './context.ts';

/** @returns undefined when there is nothing to run */
export async function runPacket(context: Context): Promise<PacketCost[] | undefined> {
  context.skip({ part: 'packet', competitor: 'all', why: 'this build has no bench/packet.ts' });
  return undefined;
}
