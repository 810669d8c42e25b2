/**
 * Many rows a system call (kernel 5.6; LPM tries later). Where the kernel has no batches for a map,
 * the same is done row by row, once found out and for good.
 */
import { SluiceError } from '../model/errors.ts';
import { EAGAIN, EINTR, EINVAL, ENOENT, ENOMEM, ENOSPC, ENOTSUPP, kernelError } from './errno.ts';
import type { KernelHash } from './kernel-map.ts';
import { bpf, Command, newAttr, putPointer } from './syscall.ts';
import { writeError } from './write-error.ts';

/**
 * Rows read at once: more than any bucket of a hash holds in practice (a fuller bucket gives ENOSPC), and few
 * enough that whoever reads a map a piece at a time does not hold up others by one.
 */
const READ_ROWS = 1024;

/** attr of the batch commands: keys at 16, values at 24, count (in and out) at 32, map_fd at 36. */
function batchAttr(fd: number, keys: Buffer, values: Buffer | undefined): Buffer {
  const attr = newAttr();
  putPointer(attr, 16, keys);
  if (values !== undefined) putPointer(attr, 24, values);
  attr.writeInt32LE(fd, 36);
  return attr;
}

function lacksBatches(result: number): boolean {
  return result === -EINVAL || result === -ENOTSUPP;
}

function checkLength(map: KernelHash, buffer: Buffer, size: number, count: number, what: string): void {
  if (buffer.length < size * count)
    throw new RangeError(`map ${map.shape.name}: ${what} of ${buffer.length} bytes for ${count} rows of ${size}`);
}

const row = (buffer: Buffer, size: number, i: number) => buffer.subarray(i * size, (i + 1) * size);

/** @throws SluiceError MAP_FULL or MAP_FAILED; rows before the one that failed are then written. */
export function updateBatch(fd: number, map: KernelHash, keys: Buffer, values: Buffer, count: number): void {
  const { keySize, valueSize } = map.shape;
  checkLength(map, keys, keySize, count, 'keys');
  checkLength(map, values, valueSize, count, 'values');
  if (count === 0) return;
  const attr = batchAttr(fd, keys, values);
  attr.writeUInt32LE(count, 32);
  const result = bpf(Command.MAP_UPDATE_BATCH, attr);
  if (result >= 0) return;
  // A batch takes memory for itself; single rows take none.
  if (!lacksBatches(result) && result !== -ENOMEM) throw writeError(map.shape, 'BPF_MAP_UPDATE_BATCH', -result);
  for (let i = 0; i < count; i++) map.update(row(keys, keySize, i), row(values, valueSize, i));
}

/** Deletes row by row up to an absent key, steps over it and goes on: absent keys are no error. */
export function deleteBatch(fd: number, map: KernelHash, keys: Buffer, count: number): void {
  const { keySize } = map.shape;
  checkLength(map, keys, keySize, count, 'keys');
  let done = 0;
  while (done < count) {
    const attr = batchAttr(fd, keys.subarray(done * keySize), undefined);
    attr.writeUInt32LE(count - done, 32);
    const result = bpf(Command.MAP_DELETE_BATCH, attr);
    if (result >= 0) return;
    if (lacksBatches(result) || result === -ENOMEM) break;
    if (result !== -ENOENT)
      throw kernelError('MAP_FAILED', `delete from map ${map.shape.name}`, 'BPF_MAP_DELETE_BATCH', -result);
    done += attr.readUInt32LE(32) + 1;
  }
  for (; done < count; done++) map.delete(row(keys, keySize, done));
}

interface Row {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** All rows. Each batch has buffers of its own, so the rows are copies that stay. */
export function* batchEntries(fd: number, map: KernelHash): IterableIterator<Row> {
  const { keySize, valueSize, name } = map.shape;
  let rows = READ_ROWS;
  const cursor = Buffer.alloc(Math.max(4, keySize));
  for (let first = true; ; ) {
    const keys = Buffer.allocUnsafeSlow(rows * keySize);
    const values = Buffer.allocUnsafeSlow(rows * valueSize);
    const attr = batchAttr(fd, keys, values);
    if (!first) putPointer(attr, 0, cursor);
    putPointer(attr, 8, cursor);
    attr.writeUInt32LE(rows, 32);
    const result = bpf(Command.MAP_LOOKUP_BATCH, attr);
    if (result === -ENOSPC) {
      rows *= 2;
      continue;
    }
    if ((first && lacksBatches(result)) || result === -EINTR || result === -EAGAIN || result === -ENOMEM) {
      yield* entriesOneByOne(fd, map);
      return;
    }
    if (result < 0 && result !== -ENOENT)
      throw kernelError('MAP_FAILED', `read map ${name}`, 'BPF_MAP_LOOKUP_BATCH', -result);
    const count = attr.readUInt32LE(32);
    for (let i = 0; i < count; i++) yield { key: row(keys, keySize, i), value: row(values, valueSize, i) };
    if (result === -ENOENT) return;
    first = false;
  }
}

/** A key deleted under the walk makes the kernel begin again; the bound ends a walk that keeps losing. */
export function* entriesOneByOne(fd: number, map: KernelHash): IterableIterator<Row> {
  const attr = newAttr();
  const key = Buffer.alloc(map.shape.keySize);
  const next = Buffer.alloc(map.shape.keySize);
  attr.writeInt32LE(fd, 0);
  putPointer(attr, 16, next);
  const bound = 4 * map.shape.maxEntries + 16;
  for (let step = 0; ; step++) {
    const result = bpf(Command.MAP_GET_NEXT_KEY, attr);
    if (result === -ENOENT) return;
    if (result < 0) throw kernelError('MAP_FAILED', `read map ${map.shape.name}`, 'BPF_MAP_GET_NEXT_KEY', -result);
    if (step >= bound)
      throw new SluiceError(
        'MAP_FAILED',
        `read map ${map.shape.name}: it changes faster than it can be read; try again`,
      );
    next.copy(key);
    putPointer(attr, 8, key);
    const value = map.lookup(key);
    if (value !== undefined) yield { key: Buffer.from(key), value };
  }
}
