/** The tables of flows as they lie in the kernel, read, and written behind the data path's back. */
import {
  type FlowBucket,
  type FlowPlaces,
  flowBucket,
  flowPlaces,
  type MapName,
  maps,
} from '../../../maps-schema/gen/codecs.ts';
import { type FlowTableName, findFlow, flowAt } from '../../../src/bpf/flow-table.ts';
import { type Closable, openHash } from '../../../src/bpf/hash.ts';
import type { KernelHash } from '../../../src/bpf/kernel-map.ts';
import { mapPin } from '../../../src/bpf/paths.ts';

function withMap<T>(pinDirectory: string, name: MapName, use: (map: Closable<KernelHash>) => T): T {
  const map = openHash(mapPin(pinDirectory, maps[name].name), maps[name]);
  try {
    return use(map);
  } finally {
    map.close();
  }
}

/** @param control view of the map `control` @throws Error when no such flow is there */
export function changeFlow(
  pinDirectory: string,
  table: FlowTableName,
  control: Buffer,
  key: Buffer,
  value: Buffer,
): void {
  withMap(pinDirectory, table, (rows) => {
    const found = findFlow(table, rows, control, key);
    if (found === undefined) throw new Error(`change the flow ${key.toString('hex')}: it is not in the table`);
    value.copy(flowAt(found.places, found.place));
    rows.update(Buffer.from(Uint32Array.of(found.index).buffer), found.places);
  });
}

/** What is in a bucket, with the tag of each place. */
export interface Bucket extends FlowPlaces, FlowBucket {
  readonly tag: readonly number[];
}

/** All buckets of a table, in order. */
export function readBuckets(pinDirectory: string, table: FlowTableName): Bucket[] {
  const tags = withMap(pinDirectory, table === 'flows' ? 'flowBuckets' : 'halfOpenBuckets', (map) =>
    [...map.entries()].map(({ value }) => flowBucket.read(value, 0)),
  );
  const places = withMap(pinDirectory, table, (map) =>
    [...map.entries()].map(({ value }) => flowPlaces.read(value, 0)),
  );
  return tags.map((bucket, i) => ({
    ...bucket,
    rows: places[i]?.rows ?? [],
    tag: bucket.tags.flatMap((word) => [0n, 16n, 32n, 48n].map((by) => Number((word >> by) & 0xffffn))),
  }));
}
