/** Rows of `sluice top`: the golden signals of each ServicePort. */
import type { Signals } from '../../bpf/signals.ts';
import { protocolName } from '../format.ts';
import { type Names, nameOf, type ServicePortName } from './names.ts';
import type { ServiceTraffic } from './traffic.ts';

/** Counts are of the seconds since the row before; in the first rows, since the Service is there. */
export interface TopRow extends ServicePortName {
  readonly protocol: string;
  readonly family: string;
  readonly opened: number;
  readonly open: number;
  readonly halfOpen: number;
  readonly sockets: number;
  readonly refused: number;
  readonly dropped: number;
  readonly failed: number;
  readonly packetsIn: number;
  readonly bytesIn: number;
  readonly packetsOut: number;
  readonly bytesOut: number;
  /** undefined: the first rows. */
  readonly seconds?: number;
}

export const TOP_SORTS = ['opened', 'open', 'refused', 'dropped', 'failed', 'bytes'] as const;
export type TopSort = (typeof TOP_SORTS)[number];

export interface TopSample {
  readonly names: Names;
  readonly signals: ReadonlyMap<number, Signals>;
  readonly traffic: ReadonlyMap<number, ServiceTraffic>;
  /** Milliseconds. */
  readonly at: number;
}

const ZERO: Signals = { opened: 0, refused: 0, dropped: 0, failed: 0 };

/** ServicePorts of which there is something to say, the busiest first. @param before the sample before */
export function topRows(now: TopSample, before: TopSample | undefined, sort: TopSort): TopRow[] {
  const rows: TopRow[] = [];
  for (const [id, port] of now.names) {
    const [signals, traffic] = [now.signals.get(id) ?? ZERO, now.traffic.get(id)];
    if (signals === ZERO && traffic === undefined) continue;
    const then = before?.signals.get(id) ?? ZERO;
    const since = (name: keyof Signals) => Math.max(0, signals[name] - then[name]);
    rows.push({
      ...nameOf(now.names, id),
      protocol: protocolName(port.proto),
      family: `IPv${port.family}`,
      opened: since('opened'),
      open: traffic?.open ?? 0,
      halfOpen: traffic?.halfOpen ?? 0,
      sockets: traffic?.sockets ?? 0,
      refused: since('refused'),
      dropped: since('dropped'),
      failed: since('failed'),
      packetsIn: traffic?.packetsIn ?? 0,
      bytesIn: traffic?.bytesIn ?? 0,
      packetsOut: traffic?.packetsOut ?? 0,
      bytesOut: traffic?.bytesOut ?? 0,
      ...(before !== undefined && { seconds: (now.at - before.at) / 1000 }),
    });
  }
  return rows.sort((a, b) => weightOf(b, sort) - weightOf(a, sort) || compareNames(a, b));
}

const weightOf = (row: TopRow, sort: TopSort) => (sort === 'bytes' ? row.bytesIn + row.bytesOut : row[sort]);

function compareNames(a: TopRow, b: TopRow): number {
  const name = (row: TopRow) => `${row.namespace}/${row.name}/${row.port}/${row.protocol}/${row.family}`;
  return name(a) < name(b) ? -1 : name(a) > name(b) ? 1 : 0;
}
