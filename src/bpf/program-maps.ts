/** Which maps the pinned programs look into: they must be those that are pinned. */
import { maps as shapes } from '../../maps-schema/gen/codecs.ts';
import { mapInfo, objInfo, withPin } from './object.ts';
import { listPins, mapPin, programPin } from './paths.ts';
import { bpf, Command, close, newAttr, putPointer } from './syscall.ts';

/** In struct bpf_prog_info. */
const NR_MAP_IDS = 52;
const MAP_IDS = 56;
const INFO_SIZE = 64;
const MOST_MAPS = 64;
/** The kernel keeps so many characters of a map's name. */
const NAME_LENGTH = 15;

/** @returns the kernel's ids of the maps of a program; none when they cannot be asked for. */
export function mapIdsOf(programFd: number): number[] {
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

/** @returns whatever `use` says of the map with this id; undefined when it is gone. */
export function withMapOfId<T>(id: number, use: (fd: number) => T): T | undefined {
  const attr = newAttr();
  attr.writeUInt32LE(id, 0);
  const fd = bpf(Command.MAP_GET_FD_BY_ID, attr);
  if (fd < 0) return undefined;
  try {
    return use(fd);
  } finally {
    close(fd);
  }
}

/** A program that looks into another map than the one that is pinned by its name. */
export interface StrayMap {
  readonly program: string;
  readonly map: string;
}

/** @returns those of all pinned programs. */
export function findStrayMaps(pinDirectory: string): StrayMap[] {
  const pinned = new Map<string, { readonly name: string; readonly id: number }>();
  for (const { name } of Object.values(shapes)) {
    const id = withPin(mapPin(pinDirectory, name), (fd) => mapInfo(fd)?.id);
    if (id !== undefined) pinned.set(name.slice(0, NAME_LENGTH), { name, id });
  }
  const names = new Map<number, string>();
  const nameOf = (id: number): string => {
    const name = names.get(id) ?? withMapOfId(id, (fd) => mapInfo(fd)?.name) ?? '';
    names.set(id, name);
    return name;
  };
  return listPins(programPin(pinDirectory, '')).flatMap((program) =>
    (withPin(programPin(pinDirectory, program), mapIdsOf) ?? []).flatMap((id): StrayMap[] => {
      const own = pinned.get(nameOf(id));
      return own === undefined || own.id === id ? [] : [{ program, map: own.name }];
    }),
  );
}
