/** Kernel objects (maps, programs, links) behind descriptors and pins. */
import { renameSync, rmSync } from 'node:fs';
import { EBADF, EINVAL, kernelError } from './errno.ts';
import { bpf, Command, close, cString, newAttr, putPointer } from './syscall.ts';

const BPF_F_RDONLY = 1 << 3;

/** Pins a descriptor. The path must be free, on bpffs, and its last name without dots. @returns 0 or -errno. */
export function objPin(fd: number, path: string): number {
  const attr = newAttr();
  const name = cString(path);
  putPointer(attr, 0, name);
  attr.writeUInt32LE(fd, 8);
  return bpf(Command.OBJ_PIN, attr);
}

/** Opens a pin. @returns a descriptor that the caller closes, or -errno. */
export function objGet(path: string, options: { readOnly?: boolean } = {}): number {
  const attr = newAttr();
  const name = cString(path);
  putPointer(attr, 0, name);
  attr.writeUInt32LE(options.readOnly ? BPF_F_RDONLY : 0, 12);
  return bpf(Command.OBJ_GET, attr);
}

/** BPF_OBJ_GET_INFO_BY_FD. @returns `size` bytes of struct bpf_{map,prog,link}_info, or -errno. */
export function objInfo(fd: number, size: number): Buffer | number {
  const attr = newAttr();
  const info = Buffer.alloc(size);
  attr.writeUInt32LE(fd, 0);
  attr.writeUInt32LE(size, 4);
  putPointer(attr, 8, info);
  const result = bpf(Command.OBJ_GET_INFO_BY_FD, attr);
  return result < 0 ? result : info;
}

/**
 * Pins a descriptor in the place of what was pinned there, if anything: first under another name,
 * then renamed, so that the path always holds the old object or the new one (bpffs can rename).
 * @throws SluiceError with the given code; the old pin then stands.
 */
export function replacePin(fd: number, path: string, action: string): void {
  const fresh = `${path}__new`;
  rmSync(fresh, { force: true });
  const pinned = objPin(fd, fresh);
  if (pinned < 0) throw kernelError('ATTACH_FAILED', `${action}: pin ${path}`, 'BPF_OBJ_PIN', -pinned);
  try {
    renameSync(fresh, path);
  } catch (error) {
    rmSync(fresh, { force: true });
    throw error;
  }
}

/** struct bpf_map_info, as far as it is used. */
export interface MapInfo {
  readonly type: number;
  readonly id: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
  /** At most 15 characters: the kernel cuts it. */
  readonly name: string;
}

/**
 * @returns undefined when the descriptor is no map.
 * @throws SluiceError MAP_FAILED when the kernel cannot say: that says nothing of what is there
 */
export function mapInfo(fd: number): MapInfo | undefined {
  const info = objInfo(fd, 40);
  if (info === -EINVAL || info === -EBADF) return undefined;
  if (typeof info === 'number') throw kernelError('MAP_FAILED', 'ask what a map is', 'BPF_OBJ_GET_INFO_BY_FD', -info);
  const name = info.toString('latin1', 24, 40);
  return {
    type: info.readUInt32LE(0),
    id: info.readUInt32LE(4),
    keySize: info.readUInt32LE(8),
    valueSize: info.readUInt32LE(12),
    maxEntries: info.readUInt32LE(16),
    flags: info.readUInt32LE(20),
    name: name.slice(0, Math.max(0, name.indexOf('\0'))),
  };
}

/** @returns the kernel's id of a program, or 0 when the descriptor is no program. */
export function programId(fd: number): number {
  const info = objInfo(fd, 16);
  return typeof info === 'number' ? 0 : info.readUInt32LE(4);
}

/** Runs with the descriptor of a pin and closes it; undefined when there is no such pin. */
export function withPin<T>(path: string, use: (fd: number) => T): T | undefined {
  const fd = objGet(path);
  if (fd < 0) return undefined;
  try {
    return use(fd);
  } finally {
    close(fd);
  }
}
