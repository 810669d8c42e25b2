/** What tables/ and cli/ see of a pinned map. The implementation over bpf(2) is in this folder. */
import type { MapShape } from '../../maps-schema/codec.ts';

/** A hash, LRU hash or LPM trie: rows are bytes in the layout of maps-schema. */
export interface KernelHash {
  readonly shape: MapShape;
  /** @returns a copy of the value, or undefined when the key is absent. */
  lookup(key: Buffer): Buffer | undefined;
  /** @throws SluiceError MAP_FULL when the map has no room, MAP_FAILED otherwise. */
  update(key: Buffer, value: Buffer): void;
  /** @returns false when the key was absent. */
  delete(key: Buffer): boolean;
  /** Writes `count` rows that lie one after another in the buffers; in batches where the kernel has them. */
  updateBatch(keys: Buffer, values: Buffer, count: number): void;
  /** Deletes `count` keys; absent keys are no error. */
  deleteBatch(keys: Buffer, count: number): void;
  /** All rows, as copies. Rows changed meanwhile may be missed or seen twice. */
  entries(): IterableIterator<{ readonly key: Buffer; readonly value: Buffer }>;
}

/**
 * A table of flows, which the data path keeps in arrays: its rows, not its buckets.
 * shape.maxEntries: rows that fit.
 */
export type KernelFlowTable = Pick<KernelHash, 'shape' | 'lookup' | 'entries'>;

/** A memory-mapped array: what is written to the view is at once what packets see. */
export interface KernelArray {
  readonly shape: MapShape;
  /** shape.maxEntries × value size (rounded up to 8 bytes) bytes. */
  readonly view: Buffer;
  /** Bytes from one slot to the next: the value size rounded up to 8. */
  readonly stride: number;
}

/** A per-CPU array, read only: one value per CPU. */
export interface KernelPerCpuArray {
  readonly shape: MapShape;
  lookup(index: number): Buffer[];
}
