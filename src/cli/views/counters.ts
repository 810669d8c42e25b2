/** What the data path did, by reason: counters summed over the CPUs. */
import { counter, reasons } from '../../../maps-schema/gen/codecs.ts';
import type { KernelPerCpuArray } from '../../bpf/kernel-map.ts';

export interface CounterRow {
  readonly reason: string;
  /** Packets; for the socket hook, calls. */
  readonly packets: number;
  readonly bytes: number;
  /** A client was refused, or its packet dropped. */
  readonly drop: boolean;
  readonly meaning: string;
}

/** @param reason index in enum reason @returns what it means, for people; "" for a number that has no meaning here */
export const meaningOf = (reason: number): string => withoutRules(reasons[reason]?.doc ?? '');

/** Rules are numbered for those who write the code. */
function withoutRules(text: string): string {
  return text.replace(/ ?\(R-\d+[^)]*\)/g, '');
}

/** In the order of the schema, zeros included. */
export function readCounters(counters: Pick<KernelPerCpuArray, 'lookup'>): CounterRow[] {
  return reasons.map(({ name, doc }, index) => {
    let packets = 0n;
    let bytes = 0n;
    for (const value of counters.lookup(index)) {
      const one = counter.read(value, 0);
      packets += one.packets;
      bytes += one.bytes;
    }
    const drop = name.startsWith('DROP_') || name.startsWith('REJECT_');
    return { reason: name, packets: Number(packets), bytes: Number(bytes), drop, meaning: withoutRules(doc) };
  });
}
