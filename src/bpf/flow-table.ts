/** KernelFlowTable over bpf(2): rows out of buckets, which bpf/lib/flow_table.h fills. */
import { randomFillSync } from 'node:crypto';
import type { MapShape } from '../../maps-schema/codec.ts';
import { flow, flowKey, maps } from '../../maps-schema/gen/codecs.ts';
import { openArray } from './array.ts';
import { flowBuckets } from './flow-hash.ts';
import { type Closable, openHash } from './hash.ts';
import type { KernelFlowTable, KernelHash } from './kernel-map.ts';
import type { OpenOptions } from './open.ts';
import { mapPin } from './paths.ts';

/** Places of a bucket. */
export const FLOW_PLACES = 16;
/** Offsets in struct flow_bucket. */
const SPILLED = 4;
const TAGS = 16;
const KEYS = TAGS + 2 * FLOW_PLACES;
const FLOWS = KEYS + FLOW_PLACES * flowKey.size;
/** Offsets in struct control. */
const CONTROL_BUCKETS = 8;
const CONTROL_HASH = 16;

/** The table as its readers see it, of the schema's size. */
export const flowTableShape: MapShape = {
  ...maps.flows,
  keySize: flowKey.size,
  valueSize: flow.size,
  maxEntries: maps.flows.maxEntries * FLOW_PLACES,
};

/** A bucket and the place in it that has a key. */
export interface FlowPlace {
  readonly index: number;
  /** A copy, in the layout of struct flow_bucket. */
  readonly bucket: Buffer;
  readonly place: number;
}

const indexKey = (index: number) => {
  const key = Buffer.alloc(4);
  key.writeUInt32LE(index);
  return key;
};
/** Of a place in a bucket; 0: it is free. */
export const tagAt = (bucket: Buffer, place: number): number => bucket.readUInt16LE(TAGS + 2 * place);
/** What the hash is secret by. @param control view of the map `control` */
export const flowSecret = (control: Buffer): Buffer =>
  control.subarray(CONTROL_HASH, CONTROL_HASH + flowKey.size) as Buffer;
const keyAt = (bucket: Buffer, place: number) =>
  bucket.subarray(KEYS + place * flowKey.size, KEYS + (place + 1) * flowKey.size);

/** The bytes of a flow in a bucket. */
export const flowAt = (bucket: Buffer, place: number): Buffer =>
  bucket.subarray(FLOWS + place * flow.size, FLOWS + (place + 1) * flow.size);

/**
 * Where a key stands.
 * @param buckets the map as it is: an array @param control view of the map `control`
 */
export function findFlow(buckets: Pick<KernelHash, 'lookup'>, control: Buffer, key: Buffer): FlowPlace | undefined {
  const { first, second, tag } = flowBuckets(key, flowSecret(control), control.readUInt32LE(CONTROL_BUCKETS));
  for (const index of [first, second]) {
    const bucket = buckets.lookup(indexKey(index));
    if (bucket === undefined) return undefined;
    for (let place = 0; place < FLOW_PLACES; place++)
      if (tagAt(bucket, place) === tag && keyAt(bucket, place).equals(key)) return { index, bucket, place };
    if (bucket.readUInt32LE(SPILLED) === 0) return undefined;
  }
  return undefined;
}

/**
 * Opens the table pinned at `path`.
 * @param control view of the map `control` @throws SluiceError as `openMap` does
 */
export function openFlowTable(
  path: string,
  control: () => Buffer,
  options: OpenOptions = {},
): Closable<KernelFlowTable> {
  const buckets = openHash(path, maps.flows, options);
  return {
    shape: { ...flowTableShape, maxEntries: buckets.shape.maxEntries * FLOW_PLACES },
    lookup(key) {
      const found = findFlow(buckets, control(), key);
      return found && Buffer.from(flowAt(found.bucket, found.place));
    },
    *entries() {
      for (const { value: bucket } of buckets.entries())
        for (let place = 0; place < FLOW_PLACES; place++)
          if (tagAt(bucket, place) !== 0) yield { key: keyAt(bucket, place), value: flowAt(bucket, place) };
    },
    close: () => buckets.close(),
  };
}

/**
 * Tells the data path how many buckets the table has, and the secret of its hash. Both stay as long as the table, since
 * flows would not be found again; so nothing is written where the number is there, unless the table is new.
 * @param pinDirectory where `flows` and `control` are pinned
 */
export function initializeFlowTable(pinDirectory: string, fresh: boolean): void {
  const buckets = openHash(mapPin(pinDirectory, maps.flows.name), maps.flows);
  const { maxEntries } = buckets.shape;
  buckets.close();
  const control = openArray(mapPin(pinDirectory, maps.control.name), maps.control);
  if (fresh || control.view.readUInt32LE(CONTROL_BUCKETS) !== maxEntries) {
    randomFillSync(control.view, CONTROL_HASH, flowKey.size);
    // Last: an agent that ended before this is made good by the next.
    control.view.writeUInt32LE(maxEntries, CONTROL_BUCKETS);
  }
  control.close();
}
