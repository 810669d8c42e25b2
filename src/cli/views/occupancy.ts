/** How full each map is, counted in the kernel. */
import {
  BACKEND_STATE_SERVING,
  backendState,
  frontend,
  frontendKey,
  type MapName,
  maps as shapes,
  TABLE_FLOWS_ADDED,
  TABLE_FLOWS_REMOVED,
  TABLE_HALF_OPEN_ADDED,
  TABLE_HALF_OPEN_REMOVED,
} from '../../../maps-schema/gen/codecs.ts';
import { flowTableShape, isFlowTable } from '../../bpf/flow-table.ts';
import type { KernelArray, KernelHash } from '../../bpf/kernel-map.ts';
import type { Maps, OpenMapName } from '../../bpf/open-maps.ts';
import { evictedEntries } from '../../bpf/table-events.ts';
import { orUndefined } from '../optional.ts';
import { decodeRows } from './rows.ts';

export interface OccupancyRow {
  readonly map: string;
  /** undefined: the map is not pinned. */
  readonly entries?: number;
  readonly maxEntries: number;
  /** At least 80 % are in use. */
  readonly nearlyFull: boolean;
  /** When full, the entry that was used least recently makes room. */
  readonly evicts: boolean;
  /** About how many entries made room for others so far; undefined: not told of this map. */
  readonly evicted?: number;
}

const NEARLY_FULL = 0.8;

type Fixed =
  | 'agentProcess'
  | 'control'
  | 'counters'
  | 'history'
  | 'knownAddresses'
  | 'report'
  | 'reservedPorts'
  | 'tableEvents';
type Counted = Exclude<OpenMapName, Fixed>;

const UNCOUNTED: ReadonlySet<MapName> = new Set<Exclude<MapName, Counted>>([
  'agentProcess',
  'choiceTurns',
  'control',
  'counters',
  'flowBuckets',
  'halfOpenBuckets',
  'history',
  'knownAddresses',
  'monitor',
  'report',
  'reservedPorts',
  'tableEvents',
]);

/** Tallies of the tables that count what comes and goes. */
const EVENTS: Partial<Record<MapName, readonly [added: number, removed: number]>> = {
  flows: [TABLE_FLOWS_ADDED, TABLE_FLOWS_REMOVED],
  halfOpenFlows: [TABLE_HALF_OPEN_ADDED, TABLE_HALF_OPEN_REMOVED],
};

/** In the order of the schema; maps of fixed content, and parts of tables, are left out. */
export function readOccupancy(maps: Omit<Maps, 'close'>): OccupancyRow[] {
  const names = (Object.keys(shapes) as MapName[]).filter((name): name is Counted => !UNCOUNTED.has(name));
  return names.map((name) => {
    const shape = isFlowTable(name) ? flowTableShape(name) : shapes[name];
    const evicts = isFlowTable(name) || shape.type === 'LRU_HASH';
    const counted = orUndefined(() => ({
      entries: countEntries(maps, name),
      maxEntries: maps[name].shape.maxEntries,
    }));
    if (counted === undefined) {
      return { map: shape.name, maxEntries: shape.maxEntries, nearlyFull: false, evicts };
    }
    const { entries, maxEntries } = counted;
    const nearlyFull = entries >= NEARLY_FULL * maxEntries;
    return { map: shape.name, entries, maxEntries, nearlyFull, evicts, evicted: evictedOf(maps, name, entries) };
  });
}

function evictedOf(maps: Omit<Maps, 'close'>, name: Counted, entries: number): number | undefined {
  const events = EVENTS[name];
  return events && orUndefined(() => evictedEntries(maps.tableEvents, ...events, entries));
}

function countEntries(maps: Omit<Maps, 'close'>, name: Counted): number {
  if (name === 'backendSlots') return countSlots(maps.frontends);
  if (name === 'backendStates') return countServing(maps.backendStates);
  let rows = 0;
  for (const _ of maps[name].entries()) rows++;
  return rows;
}

/** Slots of all extents that frontends lead to: what lies in others is left over from before. */
function countSlots(frontends: Pick<KernelHash, 'entries'>): number {
  const extents = new Map<number, number>();
  for (const [, value] of decodeRows(frontends.entries(), frontendKey, frontend)) {
    extents.set(value.internalBase, value.internalCount);
    extents.set(value.externalBase, value.externalCount);
  }
  let slots = 0;
  for (const count of extents.values()) slots += count;
  return slots;
}

function countServing({ view, stride }: Pick<KernelArray, 'view' | 'stride'>): number {
  const words = new Uint32Array(view.buffer, view.byteOffset, Math.floor(view.byteLength / 4));
  let serving = 0;
  // flags is the last word of a state.
  for (let at = backendState.size / 4 - 1; at < words.length; at += stride / 4) {
    if (((words[at] ?? 0) & BACKEND_STATE_SERVING) !== 0) serving++;
  }
  return serving;
}
