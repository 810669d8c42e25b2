/** What `sluice monitor` says to the data path in the row of `control`; the agent leaves it alone. */
import { control, TABLE_EVENTS_LOST, tally } from '../../maps-schema/gen/codecs.ts';
import type { KernelArray, KernelPerCpuArray } from './kernel-map.ts';

/** Offset of monitor_until in struct control: what is the monitor's goes on from there to the end. */
export const MONITOR_OFFSET = 56;
const UNTIL = 0;
const REASONS = 1;
const ONE_IN = 4;
/** The bit of monitor_reasons that asks for evictions: bpf/lib/monitor.h. */
export const EVICTIONS_BIT = 63;

export interface MonitorRequest {
  /** Nanoseconds, bpf_ktime_get_ns(): nothing is told from then on. */
  readonly until: bigint;
  /** Bit n: n of enum reason; bit 63: evictions. */
  readonly reasons: bigint;
  /** So many events for one that is told, at random; 1: all. */
  readonly oneIn: number;
}

type Control = Pick<KernelArray, 'view'>;

/** Each number is written whole: packets read it meanwhile. */
export function requestEvents({ view }: Control, { until, reasons, oneIn }: MonitorRequest): void {
  const long = new BigUint64Array(view.buffer, view.byteOffset + MONITOR_OFFSET, 2);
  const short = new Uint32Array(view.buffer, view.byteOffset + MONITOR_OFFSET, 5);
  long[REASONS] = reasons;
  short[ONE_IN] = oneIn;
  long[UNTIL] = until;
}

/** From now on packets ask no clock. */
export function endEvents({ view }: Control): void {
  new BigUint64Array(view.buffer, view.byteOffset + MONITOR_OFFSET, 1)[UNTIL] = 0n;
}

/** Is somebody told of events, at this time (nanoseconds)? */
export function isMonitored({ view }: Control, now: bigint): boolean {
  return control.read(view, 0).monitorUntil > now;
}

/** Events that found no room since the map was made. */
export function lostEvents(tableEvents: Pick<KernelPerCpuArray, 'lookup'>): number {
  return Number(tableEvents.lookup(TABLE_EVENTS_LOST).reduce((sum, value) => sum + tally.read(value, 0).entries, 0n));
}
