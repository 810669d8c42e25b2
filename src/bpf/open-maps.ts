/** One opened handle for each map of the schema. */
import { type MapName, maps } from '../../maps-schema/gen/codecs.ts';
import { openArray, openPerCpuArray } from './array.ts';
import { type FlowBucketsName, type FlowTableName, isFlowBuckets, isFlowTable, openFlowTable } from './flow-table.ts';
import { type Closable, openHash } from './hash.ts';
import type { KernelArray, KernelFlowTable, KernelHash, KernelPerCpuArray } from './kernel-map.ts';
import type { OpenOptions } from './open.ts';
import { mapPin } from './paths.ts';

/** Maps of type ARRAY. A test holds these two types against the schema. */
export type ArrayName =
  | 'agentProcess'
  | 'knownAddresses'
  | 'backendSlots'
  | 'backendStates'
  | 'control'
  | 'history'
  | 'report'
  | 'reservedPorts';
/** Maps of type PERCPU_ARRAY. */
export type PerCpuArrayName = 'counters' | 'tableEvents';
/** Maps of type RINGBUF: src/bpf/ring.ts reads them. */
export type RingName = 'monitor';
/** What user space reads and writes by rows: all but the tags of the tables of flows, rings, and turns that only packets take. */
export type OpenMapName = Exclude<MapName, FlowBucketsName | RingName | 'choiceTurns'>;
/** All others but tables of flows: hashes, LRU hashes, LPM tries. */
export type HashName = Exclude<OpenMapName, ArrayName | PerCpuArrayName | FlowTableName>;

/** Handles by the map's name in TypeScript; each is opened when it is first asked for. */
export type Maps = {
  readonly [name in OpenMapName]: name extends FlowTableName
    ? KernelFlowTable
    : name extends ArrayName
      ? KernelArray
      : name extends PerCpuArrayName
        ? KernelPerCpuArray
        : KernelHash;
} & {
  /** Closes what was opened. Memory views stay valid. */
  close(): void;
};

const OPEN = {
  ARRAY: openArray,
  PERCPU_ARRAY: openPerCpuArray,
  HASH: openHash,
  LRU_HASH: openHash,
  LPM_TRIE: openHash,
} as const;

/**
 * @param pinDirectory as `pinDirectoryOf` gives it.
 * @throws (at first use of a map) SluiceError NOT_RUNNING, SCHEMA_MISMATCH or PERMISSION.
 */
export function openMaps(pinDirectory: string, options: OpenOptions = {}): Maps {
  const opened = new Map<MapName, Closable<unknown>>();
  const handles = {
    close() {
      for (const map of opened.values()) map.close();
      opened.clear();
    },
  };
  for (const name of Object.keys(maps) as MapName[]) {
    const { type } = maps[name];
    if (isFlowBuckets(name) || type === 'RINGBUF' || name === 'choiceTurns') continue;
    Object.defineProperty(handles, name, {
      enumerable: true,
      get() {
        const known = opened.get(name);
        if (known !== undefined) return known;
        const path = mapPin(pinDirectory, maps[name].name);
        const map = isFlowTable(name)
          ? openFlowTable(pinDirectory, name, () => (handles as Maps).control.view, options)
          : OPEN[type](path, maps[name], options);
        opened.set(name, map);
        return map;
      },
    });
  }
  return handles as Maps;
}
