/** KernelFlowTable over bpf(2): rows out of the places of buckets, which bpf/lib/flow_bucket.h fills. */
import { randomFillSync } from 'node:crypto';
import type { MapShape } from '../../maps-schema/codec.ts';
import { flow, flowKey, flowRow, type MapName, maps } from '../../maps-schema/gen/codecs.ts';
import { openArray } from './array.ts';
import { flowBuckets } from './flow-hash.ts';
import { type Closable, openHash, withHash } from './hash.ts';
import type { KernelFlowTable, KernelHash } from './kernel-map.ts';
import type { OpenOptions } from './open.ts';
import { mapPin } from './paths.ts';

/** Offset in struct flow_key. */
const PROTO = 36;
/** Offset in struct control. */
const CONTROL_HASH = 16;

/**
 * By the map that has the rows: the one that has the tags, the places of a bucket, where `control` has the number of
 * buckets, and how many a key has.
 */
const TABLES = {
  flows: { buckets: 'flowBuckets', places: 16, control: 8, bucketsOfKey: 2 },
  halfOpenFlows: { buckets: 'halfOpenBuckets', places: 32, control: 12, bucketsOfKey: 1 },
} as const satisfies Partial<Record<MapName, unknown>>;

export type FlowTableName = keyof typeof TABLES;
/** Maps of tags: the data path's alone. */
export type FlowBucketsName = (typeof TABLES)[FlowTableName]['buckets'];

/** Places of a bucket. */
export const flowPlaces = (name: FlowTableName): number => TABLES[name].places;
export const flowTables = Object.keys(TABLES) as FlowTableName[];
export const isFlowTable = (name: MapName): name is FlowTableName => name in TABLES;
export const isFlowBuckets = (name: MapName): name is FlowBucketsName =>
  flowTables.some((table) => TABLES[table].buckets === name);

/** A table as its readers see it, of the schema's size. */
export const flowTableShape = (name: FlowTableName): MapShape => ({
  ...maps[name],
  keySize: flowKey.size,
  valueSize: flow.size,
  maxEntries: maps[name].maxEntries * TABLES[name].places,
});

/** A bucket and the place in it that has a key. */
export interface FlowPlace {
  readonly index: number;
  /** A copy, in the layout of struct flow_places or half_open_places. */
  readonly places: Buffer;
  readonly place: number;
}

const indexKey = (index: number) => {
  const key = Buffer.alloc(4);
  key.writeUInt32LE(index);
  return key;
};
/** What the hash is secret by. @param control view of the map `control` */
export const flowSecret = (control: Buffer): Buffer =>
  control.subarray(CONTROL_HASH, CONTROL_HASH + flowKey.size) as Buffer;
const keyAt = (places: Buffer, place: number) =>
  places.subarray(place * flowRow.size, place * flowRow.size + flowKey.size);

/** The bytes of a flow in its place. */
export const flowAt = (places: Buffer, place: number): Buffer =>
  places.subarray(place * flowRow.size + flowKey.size, (place + 1) * flowRow.size);

/**
 * Where a key stands.
 * @param rows the map as it is: an array @param control view of the map `control`
 */
export function findFlow(
  name: FlowTableName,
  rows: Pick<KernelHash, 'lookup'>,
  control: Buffer,
  key: Buffer,
): FlowPlace | undefined {
  const table = TABLES[name];
  const { first, second } = flowBuckets(key, flowSecret(control), control.readUInt32LE(table.control));
  for (const index of [first, second].slice(0, table.bucketsOfKey)) {
    const places = rows.lookup(indexKey(index));
    if (places === undefined) return undefined;
    for (let place = 0; place < table.places; place++)
      if (keyAt(places, place).equals(key)) return { index, places, place };
  }
  return undefined;
}

/**
 * Opens a table by its pins.
 * @param control view of the map `control` @throws SluiceError as `openMap` does
 */
export function openFlowTable(
  pinDirectory: string,
  name: FlowTableName,
  control: () => Buffer,
  options: OpenOptions = {},
): Closable<KernelFlowTable> {
  const rows = openHash(mapPin(pinDirectory, maps[name].name), maps[name], options);
  return {
    shape: { ...flowTableShape(name), maxEntries: rows.shape.maxEntries * TABLES[name].places },
    lookup(key) {
      const found = findFlow(name, rows, control(), key);
      return found && Buffer.from(flowAt(found.places, found.place));
    },
    *entries() {
      for (const { value: places } of rows.entries())
        for (let place = 0; place < TABLES[name].places; place++) {
          const key = keyAt(places, place);
          if (key[PROTO] !== 0) yield { key, value: flowAt(places, place) };
        }
    },
    close: () => rows.close(),
  };
}

/** Both maps of a table are of the size that is asked for its rows. */
export function flowTableSizes(sizes: Partial<Record<MapName, number>>): Partial<Record<MapName, number>> {
  const both = { ...sizes };
  for (const name of flowTables) {
    const size = sizes[name];
    if (size !== undefined) both[TABLES[name].buckets] = size;
  }
  return both;
}

/** Forgets all flows of a table. No packet is under way meanwhile that writes to it. */
export function emptyFlowTable(pinDirectory: string, name: FlowTableName): void {
  for (const part of [TABLES[name].buckets, name])
    withHash(mapPin(pinDirectory, maps[part].name), maps[part], (map) => {
      const empty = Buffer.alloc(map.shape.valueSize);
      for (const { key, value } of [...map.entries()]) if (!value.equals(empty)) map.update(key, empty);
    });
}

/**
 * Tells the data path how many buckets the tables have, and the secret of their hash. These stay as long as the tables,
 * since flows would not be found again; so nothing is written where they are there already. A table of which an
 * interrupted start left only a part is emptied.
 * @param pinDirectory where the maps are pinned @param created those that were not there before
 */
export function initializeFlowTables(pinDirectory: string, created: readonly MapName[]): void {
  const control = openArray(mapPin(pinDirectory, maps.control.name), maps.control);
  const view = control.view;
  const known = flowTables.every((name) => view.readUInt32LE(TABLES[name].control) !== 0);
  if (!known) randomFillSync(view, CONTROL_HASH, flowKey.size);
  for (const name of flowTables) {
    const { buckets, control: at } = TABLES[name];
    const fresh = [name, buckets].filter((part) => created.includes(part)).length;
    if (fresh === 1 || (fresh === 0 && !known)) emptyFlowTable(pinDirectory, name);
    const sizes = [name, buckets].map((part) =>
      withHash(mapPin(pinDirectory, maps[part].name), maps[part], ({ shape }) => shape.maxEntries),
    );
    if (!known || fresh > 0) view.writeUInt32LE(Math.min(...sizes), at);
  }
  control.close();
}
