/** Reads a ring buffer of the kernel, by libbpf. */
import type { MapShape } from '../../maps-schema/codec.ts';
import { SluiceError } from '../model/errors.ts';
import { readMemory, registerCallback } from './ffi.ts';
import { type Handle, libbpf } from './libbpf.ts';
import { openMap } from './open.ts';
import { close } from './syscall.ts';

export interface Ring {
  /** Hands on what is there, at most `limit` records, each a copy. What is left comes the next time. @returns how many */
  read(limit: number, take: (record: Buffer) => void): number;
  close(): void;
}

/** Ends libbpf's walk, which then gives this back; -EINTR, as if a signal had come. */
const ENOUGH = -4;

/**
 * Opens the ring buffer pinned at `path`. It has one reader at a time: two would each get a part.
 * @throws SluiceError as `openMap` does, MAP_FAILED when it cannot be mapped into memory, LIBBPF_MISSING.
 */
export function openRing(path: string, shape: MapShape): Ring {
  const { ring_buffer__new, ring_buffer__consume, ring_buffer__free } = libbpf();
  const { fd } = openMap(path, shape);
  let read = 0;
  let most = 0;
  let take: (record: Buffer) => void = () => {};
  const callback = registerCallback('int', ['void *', 'void *', 'size_t'], (_context, data, size) => {
    take(readMemory(data, Number(size)));
    return ++read < most ? 0 : ENOUGH;
  });
  const ring = ring_buffer__new(fd, callback.address, null, null) as Handle;
  close(fd);
  if (ring === null || ring === 0n) {
    callback.release();
    throw new SluiceError('MAP_FAILED', `map ring buffer ${shape.name} into memory: ring_buffer__new failed`);
  }
  return {
    read(limit, each) {
      read = 0;
      most = limit;
      take = each;
      ring_buffer__consume(ring);
      return read;
    },
    close() {
      ring_buffer__free(ring);
      callback.release();
    },
  };
}
