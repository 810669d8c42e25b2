/** The settings that the programs in force were loaded with, read from the kernel: their .rodata is a map of theirs. */
import { type Knobs, knobs as knobsCodec } from '../../maps-schema/gen/codecs.ts';
import { mapInfo, withPin } from './object.ts';
import { programPin } from './paths.ts';
import { mapIdsOf, withMapOfId } from './program-maps.ts';
import { bpf, Command, newAttr, putPointer } from './syscall.ts';

/** A program whose object has nothing but the knobs in its .rodata. */
const PROGRAM = 'connect4';
/** @returns undefined when no program is pinned, or it is another version's. */
export function readKnobs(pinDirectory: string): Knobs | undefined {
  const ids = withPin(programPin(pinDirectory, PROGRAM), mapIdsOf) ?? [];
  for (const id of ids) {
    const knobs = knobsOf(id);
    if (knobs !== undefined) return knobs;
  }
  return undefined;
}

function knobsOf(mapId: number): Knobs | undefined {
  return withMapOfId(mapId, (fd) => {
    const info = mapInfo(fd);
    if (info === undefined || !info.name.endsWith('.rodata') || info.valueSize !== knobsCodec.size) return undefined;
    const [key, value, lookup] = [Buffer.alloc(4), Buffer.alloc(info.valueSize), newAttr()];
    lookup.writeUInt32LE(fd, 0);
    putPointer(lookup, 8, key);
    putPointer(lookup, 16, value);
    return bpf(Command.MAP_LOOKUP_ELEM, lookup) < 0 ? undefined : knobsCodec.read(value, 0);
  });
}
