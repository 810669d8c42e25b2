/** Rows of a map as the views take them: an iterable of bytes, from the kernel or from a test. */

import type { Codec } from '../../../maps-schema/codec.ts';
import type { KernelArray } from '../../bpf/kernel-map.ts';

export interface Row {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** Decodes rows one by one. */
export function* decodeRows<K, V>(rows: Iterable<Row>, key: Codec<K>, value: Codec<V>): Generator<readonly [K, V]> {
  for (const row of rows) yield [key.read(row.key, 0), value.read(row.value, 0)];
}

/** @returns the decoded element of an array, or undefined past its end. */
export function elementOf<T>(
  array: Pick<KernelArray, 'view' | 'stride'>,
  codec: Codec<T>,
  index: number,
): T | undefined {
  const at = index * array.stride;
  return at + codec.size <= array.view.length ? codec.read(array.view, at) : undefined;
}
