/** How full each map is, counted in the kernel. */
import {
  BACKEND_STATE_SERVING,
  backendState,
  frontend,
  frontendKey,
  type MapName,
  maps as shapes,
} from '../../../maps-schema/gen/codecs.ts';
import type { KernelArray, KernelHash } from '../../bpf/kernel-map.ts';
import type { Maps } from '../../bpf/open-maps.ts';
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
}

const NEARLY_FULL = 0.8;

type Counted = Exclude<MapName, 'control' | 'counters' | 'report'>;

/** In the order of the schema; the maps of fixed content are left out. */
export function readOccupancy(maps: Omit<Maps, 'close'>): OccupancyRow[] {
  const names = (Object.keys(shapes) as MapName[]).filter(
    (name): name is Counted => name !== 'control' && name !== 'counters' && name !== 'report',
  );
  return names.map((name) => {
    const evicts = shapes[name].type === 'LRU_HASH';
    const counted = orUndefined(() => ({
      entries: countEntries(maps, name),
      maxEntries: maps[name].shape.maxEntries,
    }));
    if (counted === undefined) {
      return { map: shapes[name].name, maxEntries: shapes[name].maxEntries, nearlyFull: false, evicts };
    }
    const { entries, maxEntries } = counted;
    return { map: shapes[name].name, entries, maxEntries, nearlyFull: entries >= NEARLY_FULL * maxEntries, evicts };
  });
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
