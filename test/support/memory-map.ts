/** KernelHash and KernelArray in memory, for tests of order and difference. Faithful in what tables/ can see. */

import { constants } from 'node:os';
import type { MapShape } from '../../maps-schema/codec.ts';
import { maps as shapes } from '../../maps-schema/gen/codecs.ts';
import { kernelError } from '../../src/bpf/errno.ts';
import type { KernelArray, KernelHash } from '../../src/bpf/kernel-map.ts';
import { writeError } from '../../src/bpf/write-error.ts';
import type { AgentMaps } from '../../src/tables/state.ts';

export interface MemoryHash extends KernelHash {
  readonly rows: Map<string, Buffer>;
  /** Rows that fit; may be lowered to fill the map. */
  limit: number;
  /** When it returns true for a key, writing that key fails as a full map does. */
  refuse: ((key: Buffer) => boolean) | undefined;
  /** @returns the errno that writing or deleting a row fails with, as the kernel's calls do; 0: it does not */
  fault: ((operation: Operation, key: Buffer) => number) | undefined;
}

export type Operation = 'update' | 'delete';
/** Told of each row after it is written, one by one also within a batch. */
export type Observer = (operation: Operation, map: string, key: Buffer) => void;

export function createMemoryHash(shape: MapShape, observe?: Observer): MemoryHash {
  const rows = new Map<string, Buffer>();
  const { keySize, valueSize } = shape;

  function checked(buffer: Buffer, size: number): void {
    if (buffer.length !== size) throw new RangeError(`${shape.name}: ${buffer.length} bytes where ${size} belong`);
  }

  function write(key: Buffer, value: Buffer): void {
    const text = key.toString('latin1');
    const fault = hash.fault?.('update', key) ?? 0;
    if (fault !== 0) throw writeError(shape, 'BPF_MAP_UPDATE_ELEM', fault);
    if (hash.refuse?.(key) || (!rows.has(text) && rows.size >= hash.limit)) {
      const full = shape.type === 'LPM_TRIE' ? constants.errno.ENOSPC : constants.errno.E2BIG;
      throw writeError(shape, 'BPF_MAP_UPDATE_ELEM', full);
    }
    rows.set(text, Buffer.from(value));
    observe?.('update', shape.name, key);
  }

  function remove(key: Buffer): boolean {
    const fault = hash.fault?.('delete', key) ?? 0;
    if (fault !== 0) throw kernelError('MAP_FAILED', `delete from map ${shape.name}`, 'BPF_MAP_DELETE_ELEM', fault);
    const had = rows.delete(key.toString('latin1'));
    if (had) observe?.('delete', shape.name, key);
    return had;
  }

  const hash: MemoryHash = {
    shape,
    rows,
    limit: shape.maxEntries,
    refuse: undefined,
    fault: undefined,
    lookup(key) {
      checked(key, keySize);
      const value = rows.get(key.toString('latin1'));
      return value && Buffer.from(value);
    },
    update(key, value) {
      checked(key, keySize);
      checked(value, valueSize);
      write(key, value);
    },
    delete(key) {
      checked(key, keySize);
      return remove(key);
    },
    updateBatch(keys, values, count) {
      for (let i = 0; i < count; i++) {
        write(row(keys, i, keySize), row(values, i, valueSize));
      }
    },
    deleteBatch(keys, count) {
      for (let i = 0; i < count; i++) remove(row(keys, i, keySize));
    },
    *entries() {
      for (const [key, value] of [...rows]) yield { key: Buffer.from(key, 'latin1'), value: Buffer.from(value) };
    },
  };
  return hash;
}

function row(buffer: Buffer, i: number, size: number): Buffer {
  if ((i + 1) * size > buffer.length) throw new RangeError(`batch of ${buffer.length} bytes has no row ${i}`);
  return buffer.subarray(i * size, (i + 1) * size);
}

export function createMemoryArray(shape: MapShape, maxEntries = shape.maxEntries): KernelArray {
  const stride = Math.ceil(shape.valueSize / 8) * 8;
  return { shape: { ...shape, maxEntries }, stride, view: Buffer.alloc(maxEntries * stride) };
}

export interface MemoryMaps extends AgentMaps {
  readonly frontends: MemoryHash;
  readonly serviceAddresses: MemoryHash;
  readonly affinityMembers: MemoryHash;
  readonly sourceRanges: MemoryHash;
  readonly servicePorts: MemoryHash;
  readonly nodeAddresses: MemoryHash;
  readonly devices: MemoryHash;
  readonly podCidrs: MemoryHash;
  readonly peers: MemoryHash;
  readonly dsrBackends: MemoryHash;
  readonly serviceCidrs: MemoryHash;
  readonly socketOptOuts: MemoryHash;
}

/** The agent's maps. @param entries slots and backend ids */
export function createMemoryMaps(options: { observe?: Observer; entries?: number } = {}): MemoryMaps {
  const { observe, entries = 65536 } = options;
  return {
    frontends: createMemoryHash(shapes.frontends, observe),
    serviceAddresses: createMemoryHash(shapes.serviceAddresses, observe),
    knownAddresses: createMemoryArray(shapes.knownAddresses),
    backendSlots: createMemoryArray(shapes.backendSlots, entries),
    backendStates: createMemoryArray(shapes.backendStates, entries),
    affinityMembers: createMemoryHash(shapes.affinityMembers, observe),
    sourceRanges: createMemoryHash(shapes.sourceRanges, observe),
    servicePorts: createMemoryHash(shapes.servicePorts, observe),
    nodeAddresses: createMemoryHash(shapes.nodeAddresses, observe),
    devices: createMemoryHash(shapes.devices, observe),
    podCidrs: createMemoryHash(shapes.podCidrs, observe),
    peers: createMemoryHash(shapes.peers, observe),
    dsrBackends: createMemoryHash(shapes.dsrBackends, observe),
    serviceCidrs: createMemoryHash(shapes.serviceCidrs, observe),
    socketOptOuts: createMemoryHash(shapes.socketOptOuts, observe),
    reservedPorts: createMemoryArray(shapes.reservedPorts),
  };
}
