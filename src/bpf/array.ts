/** KernelArray by mmap and KernelPerCpuArray by lookups. */
import { readFileSync } from 'node:fs';
import type { MapShape } from '../../maps-schema/codec.ts';
import { SluiceError } from '../model/errors.ts';
import { kernelError } from './errno.ts';
import { errno, mmapShared } from './ffi.ts';
import type { Closable } from './hash.ts';
import type { KernelArray, KernelPerCpuArray } from './kernel-map.ts';
import { type OpenOptions, openMap } from './open.ts';
import { bpf, Command, close, newAttr, putPointer } from './syscall.ts';

const roundUp = (n: number, to: number) => Math.ceil(n / to) * to;

/**
 * Maps the array pinned at `path` into memory. The view stays valid after `close`: it is unmapped
 * when nothing refers to it any more. With `readOnly`, writing to the view ends the process.
 * @throws SluiceError as `openMap` does, or MAP_FAILED when it was not made with BPF_F_MMAPABLE.
 */
export function openArray(path: string, shape: MapShape, options: OpenOptions = {}): Closable<KernelArray> {
  // A read-only descriptor cannot be mapped shared (EINVAL): here the mapping's own protection is what refuses writes.
  const opened = openMap(path, shape);
  const stride = roundUp(shape.valueSize, 8);
  const length = stride * opened.shape.maxEntries;
  const memory = mmapShared(opened.fd, length, options.readOnly !== true);
  const failed = errno();
  close(opened.fd);
  if (memory === undefined) throw kernelError('MAP_FAILED', `map array ${shape.name} into memory`, 'mmap', failed);
  return { shape: opened.shape, stride, view: memory, close() {} };
}

/** CPUs that the kernel may ever bring up: per-CPU values come for each of them. */
export function possibleCpus(text = readFileSync('/sys/devices/system/cpu/possible', 'utf8')): number {
  let highest = 0;
  for (const range of text.trim().split(',')) highest = Math.max(highest, Number(range.split('-').at(-1)));
  return highest + 1;
}

/** Opens the per-CPU array pinned at `path`. @throws SluiceError as `openMap` does. */
export function openPerCpuArray(path: string, shape: MapShape, options: OpenOptions = {}): Closable<KernelPerCpuArray> {
  const opened = openMap(path, shape, options);
  const stride = roundUp(shape.valueSize, 8);
  const cpus = possibleCpus();
  const key = Buffer.alloc(4);
  const values = Buffer.alloc(stride * cpus);
  const attr = newAttr();
  attr.writeUInt32LE(opened.fd, 0);
  putPointer(attr, 8, key);
  putPointer(attr, 16, values);
  let open = true;
  return {
    shape: opened.shape,
    lookup(index) {
      if (!open) throw new SluiceError('MAP_FAILED', `look up in map ${shape.name}: it is closed`);
      key.writeUInt32LE(index);
      const result = bpf(Command.MAP_LOOKUP_ELEM, attr);
      if (result < 0)
        throw kernelError('MAP_FAILED', `look up ${index} in map ${shape.name}`, 'BPF_MAP_LOOKUP_ELEM', -result);
      return Array.from({ length: cpus }, (_, cpu) =>
        Buffer.from(values.subarray(cpu * stride, cpu * stride + shape.valueSize)),
      );
    },
    close() {
      if (open) close(opened.fd);
      open = false;
    },
  };
}
