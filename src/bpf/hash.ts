/** KernelHash over bpf(2): a hash, an LRU hash or an LPM trie. */
import type { MapShape } from '../../maps-schema/codec.ts';
import { batchEntries, deleteBatch, updateBatch } from './batch.ts';
import { ENOENT, kernelError } from './errno.ts';
import type { KernelHash } from './kernel-map.ts';
import { type OpenOptions, openMap } from './open.ts';
import { bpf, Command, close, newAttr, putPointer } from './syscall.ts';
import { writeError } from './write-error.ts';

/** A map that owns its descriptor. Using it after `close` is an error. */
export type Closable<T> = T & { close(): void };

/**
 * One attr and one place for a key and a value, reused by every call: their addresses are written
 * once, so that a call costs a copy and the system call.
 */
function scratch(fd: number, shape: MapShape) {
  const key = Buffer.alloc(shape.keySize);
  const value = Buffer.alloc(shape.valueSize);
  const attr = newAttr();
  attr.writeUInt32LE(fd, 0);
  putPointer(attr, 8, key);
  putPointer(attr, 16, value);
  // The kernel refuses a deletion that names a value.
  const keyAttr = newAttr();
  keyAttr.writeUInt32LE(fd, 0);
  putPointer(keyAttr, 8, key);
  return { key, value, attr, keyAttr };
}

/** Opens the hash, LRU hash or LPM trie pinned at `path`. @throws SluiceError as `openMap` does. */
export function openHash(path: string, shape: MapShape, options: OpenOptions = {}): Closable<KernelHash> {
  const opened = openMap(path, shape, options);
  let { fd } = opened;
  const { key, value, attr, keyAttr } = scratch(fd, opened.shape);
  const put = (into: Buffer, from: Buffer, what: string) => {
    if (from.length !== into.length)
      throw new RangeError(`map ${shape.name}: ${what} of ${from.length} bytes, not ${into.length}`);
    from.copy(into);
  };
  const map: Closable<KernelHash> = {
    shape: opened.shape,
    lookup(wanted) {
      put(key, wanted, 'key');
      const result = bpf(Command.MAP_LOOKUP_ELEM, attr);
      if (result === -ENOENT) return undefined;
      if (result < 0) throw kernelError('MAP_FAILED', `look up in map ${shape.name}`, 'BPF_MAP_LOOKUP_ELEM', -result);
      return Buffer.from(value);
    },
    update(newKey, newValue) {
      put(key, newKey, 'key');
      put(value, newValue, 'value');
      const result = bpf(Command.MAP_UPDATE_ELEM, attr);
      if (result < 0) throw writeError(opened.shape, 'BPF_MAP_UPDATE_ELEM', -result);
    },
    delete(oldKey) {
      put(key, oldKey, 'key');
      const result = bpf(Command.MAP_DELETE_ELEM, keyAttr);
      if (result < 0 && result !== -ENOENT)
        throw kernelError('MAP_FAILED', `delete from map ${shape.name}`, 'BPF_MAP_DELETE_ELEM', -result);
      return result === 0;
    },
    updateBatch: (keys, values, count) => updateBatch(fd, map, keys, values, count),
    deleteBatch: (keys, count) => deleteBatch(fd, map, keys, count),
    entries: () => batchEntries(fd, map),
    close() {
      if (fd >= 0) close(fd);
      fd = -1;
      for (const each of [attr, keyAttr]) each.writeInt32LE(-1, 0);
    },
  };
  return map;
}

/** Opens a map for as long as `use` takes. @throws SluiceError as `openMap` does */
export function withHash<T>(path: string, shape: MapShape, use: (map: KernelHash) => T): T {
  const map = openHash(path, shape);
  try {
    return use(map);
  } finally {
    map.close();
  }
}
