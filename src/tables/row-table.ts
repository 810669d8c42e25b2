/**
 * The rows of a hash or trie as they were last written or read: what is in the kernel unless
 * somebody else changed it. Rows are staged, compared with that, and written in batches.
 * A key is the latin1 text of its bytes.
 */
import type { KernelHash } from '../bpf/kernel-map.ts';
import type { OnFailure, PortState, Written } from './state.ts';

/** Batch buffers above this many bytes are given back after use. */
const KEEP_BYTES = 1 << 18;
/** Rows that `adopt` and `compare` look at in a step. */
export const STEP_ROWS = 64;

export interface RowDifference {
  readonly kind: 'missing' | 'unexpected' | 'different';
  readonly key: string;
  readonly expected: Buffer | undefined;
  readonly actual: Buffer | undefined;
}

export class RowTable {
  readonly #map: KernelHash;
  readonly #written: Written;
  readonly #onRow: (key: string) => void;
  readonly #keySize: number;
  readonly #valueSize: number;
  readonly #index = new Map<string, number>();
  readonly #freeRows: number[] = [];
  #values: Buffer = Buffer.alloc(0);
  #owners: (PortState | undefined)[] = [];

  #updateKeys: string[] = [];
  #updateOwners: (PortState | undefined)[] = [];
  #updateValues: Buffer = Buffer.alloc(0);
  #deleteKeys = new Set<string>();
  /** Rows that the kernel did not delete, and why: tried again with the next deletions, until they are wanted anew. */
  readonly #owed = new Map<string, unknown>();
  /** Of each comparison under way: keys written or deleted since it began. */
  readonly #changed = new Set<Set<string>>();

  /** @param onRow told of each key before its row is written, and when the row is read from the kernel */
  constructor(map: KernelHash, written: Written, onRow: (key: string) => void = () => {}) {
    this.#map = map;
    this.#written = written;
    this.#onRow = onRow;
    this.#keySize = map.shape.keySize;
    this.#valueSize = map.shape.valueSize;
  }

  get name(): string {
    return this.#map.shape.name;
  }

  get maxEntries(): number {
    return this.#map.shape.maxEntries;
  }

  get size(): number {
    return this.#index.size;
  }

  /** Rows that should be gone, and could not be deleted so far. */
  get owed(): number {
    return this.#owed.size;
  }

  /** Why one of them could not. */
  get whyOwed(): unknown {
    return this.#owed.values().next().value;
  }

  /** Keys of all rows; rows may be staged meanwhile, not flushed. */
  keys(): IterableIterator<string> {
    return this.#index.keys();
  }

  /** @returns the row's value, as long as nothing is flushed; undefined when there is no such row. */
  value(key: string): Buffer | undefined {
    const row = this.#index.get(key);
    return row === undefined ? undefined : this.#values.subarray(row * this.#valueSize, (row + 1) * this.#valueSize);
  }

  /** @returns a 32-bit little-endian field of the row at a byte offset of its value. */
  field(key: string, offset: number): number {
    const row = this.#index.get(key);
    return row === undefined ? 0 : this.#values.readUInt32LE(row * this.#valueSize + offset);
  }

  owner(key: string): PortState | undefined {
    const row = this.#index.get(key);
    return row === undefined ? undefined : this.#owners[row];
  }

  setOwner(key: string, owner: PortState): void {
    const row = this.#index.get(key);
    if (row !== undefined) this.#owners[row] = owner;
  }

  /** Reads the kernel's rows, STEP_ROWS a step; what was known before is forgotten. */
  *adopt(): Generator<void> {
    this.#index.clear();
    this.#freeRows.length = 0;
    this.#owners = [];
    for (const { key: bytes, value } of this.#map.entries()) {
      const key = bytes.toString('latin1');
      this.#onRow(key);
      this.#remember(key, value, 0, undefined);
      if (this.#index.size % STEP_ROWS === 0) yield;
    }
  }

  /** Stages a row when it differs from the kernel's. @returns whether it does. */
  stage(key: string, value: Buffer, offset: number, owner: PortState | undefined): boolean {
    this.#owed.delete(key);
    const row = this.#index.get(key);
    if (row !== undefined) {
      const at = row * this.#valueSize;
      if (this.#values.compare(value, offset, offset + this.#valueSize, at, at + this.#valueSize) === 0) {
        this.#owners[row] = owner;
        return false;
      }
    }
    this.#append(key, value, offset, owner);
    return true;
  }

  /** Stages a row that the kernel is known to have lost or changed. */
  restage(key: string): void {
    if (this.#owed.has(key)) return;
    const row = this.#index.get(key);
    if (row !== undefined) this.#append(key, this.#values, row * this.#valueSize, this.#owners[row]);
  }

  stageDelete(key: string): void {
    if (this.#index.has(key)) this.#deleteKeys.add(key);
  }

  /** Stages the removal of a row that only the kernel knows. */
  stageForeignDelete(key: string): void {
    this.#deleteKeys.add(key);
  }

  /** Writes what is staged, but for owners that `skip` names. A row that fails stops no other. */
  flushUpdates(onFailure: OnFailure, skip?: (owner: PortState | undefined) => boolean): void {
    const staged = this.#updateKeys;
    const owners = this.#updateOwners;
    const values = this.#updateValues;
    if (staged.length === 0) return;
    const keys = Buffer.allocUnsafe(staged.length * this.#keySize);
    let count = 0;
    for (let i = 0; i < staged.length; i++) {
      const owner = owners[i];
      if (skip?.(owner)) continue;
      if (count < i) {
        values.copyWithin(count * this.#valueSize, i * this.#valueSize, (i + 1) * this.#valueSize);
        owners[count] = owner;
      }
      const key = staged[i] ?? '';
      this.#onRow(key);
      staged[count] = key;
      keys.write(key, count * this.#keySize, 'latin1');
      count++;
    }
    if (count > 0) this.#writeRows(keys, count, onFailure);
    this.#updateKeys = [];
    this.#updateOwners = [];
    if (values.length > KEEP_BYTES) this.#updateValues = Buffer.alloc(0);
  }

  flushDeletes(onFailure: OnFailure): void {
    for (const key of this.#owed.keys()) this.#deleteKeys.add(key);
    if (this.#deleteKeys.size === 0) return;
    const staged = [...this.#deleteKeys];
    this.#deleteKeys.clear();
    const keys = Buffer.allocUnsafe(staged.length * this.#keySize);
    staged.forEach((key, i) => {
      keys.write(key, i * this.#keySize, 'latin1');
    });
    try {
      this.#map.deleteBatch(keys, staged.length);
      for (const key of staged) this.#forget(key);
    } catch {
      staged.forEach((key, i) => {
        try {
          this.#map.delete(keys.subarray(i * this.#keySize, (i + 1) * this.#keySize));
          this.#forget(key);
        } catch (error) {
          this.#owed.set(key, error);
          onFailure(this.owner(key), this.name, error);
        }
      });
    }
  }

  /**
   * Compares the kernel's rows with those that were written, STEP_ROWS at a time: undefined ends a step. Rows may be
   * flushed between two steps: those are as they should be, and are left to the next comparison. (Reading one
   * again would not do: a trie answers with the next shorter prefix.)
   */
  *compare(): Generator<RowDifference | undefined, void> {
    const changed = new Set<string>();
    this.#changed.add(changed);
    try {
      const seen = new Uint8Array(this.#values.length / this.#valueSize);
      let rows = 0;
      for (const { key: bytes, value } of this.#map.entries()) {
        const key = bytes.toString('latin1');
        const row = this.#index.get(key);
        this.#onRow(key);
        if (row !== undefined) seen[row] = 1;
        if (!changed.has(key) && (row === undefined || !this.#holds(row, value))) {
          const kind = row === undefined ? 'unexpected' : 'different';
          yield { kind, key, expected: this.value(key), actual: value };
        }
        if (++rows % STEP_ROWS === 0) yield undefined;
      }
      for (const [key, row] of this.#index) {
        if (seen[row] !== 1 && !changed.has(key))
          yield { kind: 'missing', key, expected: this.value(key), actual: undefined };
        if (++rows % STEP_ROWS === 0) yield undefined;
      }
    } finally {
      this.#changed.delete(changed);
    }
  }

  #holds(row: number, value: Buffer): boolean {
    const at = row * this.#valueSize;
    return this.#values.compare(value, 0, this.#valueSize, at, at + this.#valueSize) === 0;
  }

  #append(key: string, value: Buffer, offset: number, owner: PortState | undefined): void {
    const at = this.#updateKeys.length * this.#valueSize;
    if (at + this.#valueSize > this.#updateValues.length)
      this.#updateValues = grow(this.#updateValues, at + this.#valueSize);
    value.copy(this.#updateValues, at, offset, offset + this.#valueSize);
    this.#updateKeys.push(key);
    this.#updateOwners.push(owner);
  }

  #writeRows(keys: Buffer, count: number, onFailure: OnFailure): void {
    try {
      this.#map.updateBatch(keys, this.#updateValues, count);
      for (let i = 0; i < count; i++) this.#wrote(i);
      return;
    } catch {
      // One row stopped the batch: find it, and write the others.
    }
    for (let i = 0; i < count; i++) {
      try {
        this.#map.update(
          keys.subarray(i * this.#keySize, (i + 1) * this.#keySize),
          this.#updateValues.subarray(i * this.#valueSize, (i + 1) * this.#valueSize),
        );
        this.#wrote(i);
      } catch (error) {
        onFailure(this.#updateOwners[i], this.name, error);
      }
    }
  }

  #wrote(i: number): void {
    const key = this.#updateKeys[i] ?? '';
    for (const changed of this.#changed) changed.add(key);
    this.#remember(key, this.#updateValues, i * this.#valueSize, this.#updateOwners[i]);
    this.#written.rows++;
    this.#written.bytes += this.#keySize + this.#valueSize;
  }

  #remember(key: string, value: Buffer, offset: number, owner: PortState | undefined): void {
    let row = this.#index.get(key);
    if (row === undefined) {
      row = this.#freeRows.pop() ?? this.#index.size;
      this.#index.set(key, row);
    }
    const at = row * this.#valueSize;
    if (at + this.#valueSize > this.#values.length) this.#values = grow(this.#values, at + this.#valueSize);
    value.copy(this.#values, at, offset, offset + this.#valueSize);
    this.#owners[row] = owner;
  }

  #forget(key: string): void {
    this.#owed.delete(key);
    for (const changed of this.#changed) changed.add(key);
    this.#written.deletes++;
    const row = this.#index.get(key);
    if (row === undefined) return;
    this.#index.delete(key);
    this.#freeRows.push(row);
    this.#owners[row] = undefined;
  }
}

function grow(buffer: Buffer, bytes: number): Buffer {
  const larger = Buffer.alloc(Math.max(bytes, buffer.length * 2, 4096));
  buffer.copy(larger);
  return larger;
}
