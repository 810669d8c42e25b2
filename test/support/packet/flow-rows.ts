/** The table of established flows as it lies in the kernel, read, and written behind the data path's back. */
import { type FlowBucket, flowBucket, maps } from '../../../maps-schema/gen/codecs.ts';
import { FLOW_PLACES, findFlow, flowAt, tagAt } from '../../../src/bpf/flow-table.ts';
import { type Closable, openHash } from '../../../src/bpf/hash.ts';
import type { KernelHash } from '../../../src/bpf/kernel-map.ts';
import { mapPin } from '../../../src/bpf/paths.ts';

function withBuckets<T>(pinDirectory: string, use: (buckets: Closable<KernelHash>) => T): T {
  const buckets = openHash(mapPin(pinDirectory, maps.flows.name), maps.flows);
  try {
    return use(buckets);
  } finally {
    buckets.close();
  }
}

const indexKey = (index: number) => Buffer.from(Uint32Array.of(index).buffer);

/** @param control view of the map `control` @throws Error when no such flow is there */
export function changeFlow(pinDirectory: string, control: Buffer, key: Buffer, value: Buffer): void {
  withBuckets(pinDirectory, (buckets) => {
    const found = findFlow(buckets, control, key);
    if (found === undefined) throw new Error(`change the flow ${key.toString('hex')}: it is not in the table`);
    value.copy(flowAt(found.bucket, found.place));
    buckets.update(indexKey(found.index), found.bucket);
  });
}

/** Empties the table. */
export function clearFlows(pinDirectory: string): void {
  withBuckets(pinDirectory, (buckets) => {
    const empty = Buffer.alloc(maps.flows.valueSize);
    for (const { key, value } of [...buckets.entries()]) if (!value.equals(empty)) buckets.update(key, empty);
  });
}

/** All buckets, in order, with the tag of each place. */
export function readBuckets(pinDirectory: string): { readonly bucket: FlowBucket; readonly tags: readonly number[] }[] {
  return withBuckets(pinDirectory, (buckets) =>
    [...buckets.entries()].map(({ value }) => ({
      bucket: flowBucket.read(value, 0),
      tags: Array.from({ length: FLOW_PLACES }, (_, place) => tagAt(value, place)),
    })),
  );
}
