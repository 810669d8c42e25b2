/** The settings that the programs in force were loaded with, read from the kernel: their .rodata is a map of theirs. */
import { type Knobs, knobs as knobsCodec } from '../../maps-schema/gen/codecs.ts';
import { mapInfo, objInfo, withPin } from './object.ts';
import { programPin } from './paths.ts';
import { bpf, Command, close, newAttr, putPointer } from './syscall.ts';

/** A program whose object has nothing but the knobs in its .rodata. */
const PROGRAM = 'connect4';
/** In struct bpf_prog_info. */
const NR_MAP_IDS = 52;
const MAP_IDS = 56;
const INFO_SIZE = 64;
const MOST_MAPS = 64;

/** @returns undefined when no program is pinned, or it is another version's. */
export function readKnobs(pinDirectory: string): Knobs | undefined {
  const ids = withPin(programPin(pinDirectory, PROGRAM), mapIds) ?? [];
  for (const id of ids) {
    const knobs = knobsOf(id);
    if (knobs !== undefined) return knobs;
  }
  return undefined;
}

function mapIds(programFd: number): number[] {
  const first = objInfo(programFd, INFO_SIZE);
  if (typeof first === 'number') return [];
  const count = Math.min(first.readUInt32LE(NR_MAP_IDS), MOST_MAPS);
  const ids = Buffer.alloc(4 * count);
  const info = Buffer.alloc(INFO_SIZE);
  info.writeUInt32LE(count, NR_MAP_IDS);
  putPointer(info, MAP_IDS, ids);
  const attr = newAttr();
  attr.writeUInt32LE(programFd, 0);
  attr.writeUInt32LE(INFO_SIZE, 4);
  putPointer(attr, 8, info);
  if (bpf(Command.OBJ_GET_INFO_BY_FD, attr) < 0) return [];
  return Array.from({ length: count }, (_, i) => ids.readUInt32LE(4 * i));
}

function knobsOf(mapId: number): Knobs | undefined {
  const attr = newAttr();
  attr.writeUInt32LE(mapId, 0);
  const fd = bpf(Command.MAP_GET_FD_BY_ID, attr);
  if (fd < 0) return undefined;
  try {
    const info = mapInfo(fd);
    if (info === undefined || !info.name.endsWith('.rodata') || info.valueSize !== knobsCodec.size) return undefined;
    const [key, value, lookup] = [Buffer.alloc(4), Buffer.alloc(info.valueSize), newAttr()];
    lookup.writeUInt32LE(fd, 0);
    putPointer(lookup, 8, key);
    putPointer(lookup, 16, value);
    return bpf(Command.MAP_LOOKUP_ELEM, lookup) < 0 ? undefined : knobsCodec.read(value, 0);
  } finally {
    close(fd);
  }
}
