/** The tables of flows as they lie in the kernel, read, and written behind the data path's back. */
import {
  type FlowRow,
  flowBucket,
  flowPlaces,
  halfOpenBucket,
  halfOpenPlaces,
  type MapName,
  maps,
} from '../../../maps-schema/gen/codecs.ts';
import { type FlowTableName, findFlow, flowAt } from '../../../src/bpf/flow-table.ts';
import { withHash } from '../../../src/bpf/hash.ts';
import type { KernelHash } from '../../../src/bpf/kernel-map.ts';
import { mapPin } from '../../../src/bpf/paths.ts';

const withMap = <T>(pinDirectory: string, name: MapName, use: (map: KernelHash) => T): T =>
  withHash(mapPin(pinDirectory, maps[name].name), maps[name], use);

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
export interface Bucket {
  readonly rows: readonly FlowRow[];
  readonly tags: readonly number[];
  /** 0 in a table that does not have it. */
  readonly spilled: number;
}

const tagsOf = (words: readonly bigint[]) =>
  words.flatMap((word) => [0n, 16n, 32n, 48n].map((by) => Number((word >> by) & 0xffffn)));

/** All buckets of a table, in order. */
export function readBuckets(pinDirectory: string, table: FlowTableName): Bucket[] {
  const values = (name: MapName) => withMap(pinDirectory, name, (map) => [...map.entries()].map(({ value }) => value));
  const rows = values(table);
  if (table === 'flows')
    return values('flowBuckets').map((value, i) => {
      const { tags, spilled } = flowBucket.read(value, 0);
      return { rows: flowPlaces.read(rows[i] ?? value, 0).rows, tags: tagsOf(tags), spilled };
    });
  return values('halfOpenBuckets').map((value, i) => ({
    rows: halfOpenPlaces.read(rows[i] ?? value, 0).rows,
    tags: tagsOf(halfOpenBucket.read(value, 0).tags),
    spilled: 0,
  }));
}
