/** The agent's maps in memory, empty, of the sizes of those in the kernel: what would be written is written to them. */
import type { MapShape } from '../../maps-schema/codec.ts';
import type { KernelArray, KernelHash } from '../bpf/kernel-map.ts';
import { SluiceError } from '../model/errors.ts';
import type { AgentMaps } from './state.ts';

/** @throws SluiceError (its methods) MAP_FULL as the kernel does, without advice: nobody is served from here */
function shadowHash(shape: MapShape): KernelHash {
  const rows = new Map<string, Buffer>();
  const { keySize, valueSize, maxEntries, name } = shape;
  const update = (key: Buffer, value: Buffer): void => {
    const text = key.toString('latin1');
    if (!rows.has(text) && rows.size >= maxEntries)
      throw new SluiceError('MAP_FULL', `map ${name}: all ${maxEntries} rows are taken`);
    rows.set(text, Buffer.from(value));
  };
  const part = (buffer: Buffer, i: number, size: number) => buffer.subarray(i * size, (i + 1) * size);
  return {
    shape,
    lookup: (key) => rows.get(key.toString('latin1')),
    update,
    delete: (key) => rows.delete(key.toString('latin1')),
    updateBatch(keys, values, count) {
      for (let i = 0; i < count; i++) update(part(keys, i, keySize), part(values, i, valueSize));
    },
    deleteBatch(keys, count) {
      for (let i = 0; i < count; i++) rows.delete(part(keys, i, keySize).toString('latin1'));
    },
    *entries() {
      for (const [key, value] of rows) yield { key: Buffer.from(key, 'latin1'), value };
    },
  };
}

function shadowArray({ shape, stride }: KernelArray): KernelArray {
  return { shape, stride, view: Buffer.alloc(stride * shape.maxEntries) };
}

/** @param like whose shapes they have */
export function createShadowMaps(like: AgentMaps): AgentMaps {
  return {
    frontends: shadowHash(like.frontends.shape),
    serviceAddresses: shadowHash(like.serviceAddresses.shape),
    knownAddresses: shadowArray(like.knownAddresses),
    backendSlots: shadowArray(like.backendSlots),
    backendStates: shadowArray(like.backendStates),
    affinityMembers: shadowHash(like.affinityMembers.shape),
    sourceRanges: shadowHash(like.sourceRanges.shape),
    servicePorts: shadowHash(like.servicePorts.shape),
    nodeAddresses: shadowHash(like.nodeAddresses.shape),
    devices: shadowHash(like.devices.shape),
    podCidrs: shadowHash(like.podCidrs.shape),
    peers: shadowHash(like.peers.shape),
    dsrBackends: shadowHash(like.dsrBackends.shape),
    serviceCidrs: shadowHash(like.serviceCidrs.shape),
    socketOptOuts: shadowHash(like.socketOptOuts.shape),
    reservedPorts: shadowArray(like.reservedPorts),
  };
}
