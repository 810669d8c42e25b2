/** Opens the pin of a map and holds it against the schema. */
import type { MapShape } from '../../maps-schema/codec.ts';
import { SluiceError } from '../model/errors.ts';
import { ENOENT, kernelError } from './errno.ts';
import { type MapInfo, mapInfo, objGet } from './object.ts';
import { close } from './syscall.ts';

/** enum bpf_map_type. */
export const MAP_TYPES: Readonly<Record<MapShape['type'], number>> = {
  HASH: 1,
  ARRAY: 2,
  PERCPU_ARRAY: 6,
  LRU_HASH: 9,
  LPM_TRIE: 11,
  RINGBUF: 27,
};

/** @returns what differs between a kernel map and the schema, e.g. `value size 24, not 28`; undefined when nothing does. */
export function shapeMismatch(
  shape: MapShape,
  info: Pick<MapInfo, 'type' | 'keySize' | 'valueSize'>,
): string | undefined {
  if (info.type !== MAP_TYPES[shape.type]) return `type ${info.type}, not ${MAP_TYPES[shape.type]} (${shape.type})`;
  if (info.keySize !== shape.keySize) return `key size ${info.keySize}, not ${shape.keySize}`;
  if (info.valueSize !== shape.valueSize) return `value size ${info.valueSize}, not ${shape.valueSize}`;
  return undefined;
}

export interface OpenOptions {
  /** For looking only: the kernel refuses writes through the handle. */
  readonly readOnly?: boolean;
}

/** A descriptor of a map and its shape with the kernel's own number of entries. */
export interface OpenedMap {
  readonly fd: number;
  readonly shape: MapShape;
}

/**
 * @returns a descriptor that the caller closes.
 * @throws SluiceError NOT_RUNNING when nothing is pinned there, SCHEMA_MISMATCH when it is another map.
 */
export function openMap(path: string, shape: MapShape, options: OpenOptions = {}): OpenedMap {
  const fd = objGet(path, options);
  if (fd === -ENOENT) {
    throw new SluiceError(
      'NOT_RUNNING',
      `open map ${shape.name}: nothing is pinned at ${path}; start the agent first, or choose its --bpf-root`,
    );
  }
  if (fd < 0) throw kernelError('MAP_FAILED', `open map ${shape.name} at ${path}`, 'BPF_OBJ_GET', -fd);
  const info = infoOrClose(fd);
  const mismatch = info === undefined ? 'no map' : shapeMismatch(shape, info);
  if (info === undefined || mismatch !== undefined) {
    close(fd);
    throw new SluiceError(
      'SCHEMA_MISMATCH',
      `open map ${shape.name}: ${path} has ${mismatch}; it was made by another version: run its "sluice cleanup" first`,
    );
  }
  return { fd, shape: { ...shape, maxEntries: info.maxEntries } };
}

/** @throws as mapInfo does; the descriptor is then closed. */
export function infoOrClose(fd: number): MapInfo | undefined {
  try {
    return mapInfo(fd);
  } catch (error) {
    close(fd);
    throw error;
  }
}
