/** A pin directory that lost the pins of some of its maps: found again in programs that use them, or not taken over. */
import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { type MapName, maps } from '../../maps-schema/gen/codecs.ts';
import { listLinks } from './links.ts';
import { mapInfo, objPin, withPin } from './object.ts';
import { shapeMismatch } from './open.ts';
import { listPins, mapPin } from './paths.ts';
import { mapIdsOf } from './program-maps.ts';
import { bpf, Command, close, newAttr } from './syscall.ts';

/** The kernel keeps so much of a name. */
const NAME_LENGTH = 15;

/** What became of the maps whose pins were missing. */
export interface Mended {
  /** Pinned again: programs that are attached had them. */
  readonly found: readonly string[];
  /** Were not found: then nothing is pinned any more, and the next load makes all maps anew. */
  readonly lost: readonly string[];
}

/**
 * Call it before programs are loaded. Where only some maps are pinned, the others are looked for in the programs that
 * are attached; that takes CAP_SYS_ADMIN. Where they are not found, the rest is unpinned: the programs keep all of
 * theirs, untouched, until others take their place. Maps of two generations are never mixed, because rows would be made
 * anew over ids and extents that old programs still follow.
 */
export function mendPartialSet(pinDirectory: string): Mended {
  const directory = dirname(mapPin(pinDirectory, maps.control.name));
  const all = Object.keys(maps) as MapName[];
  const isMissing = (name: MapName) => !listPins(directory).includes(maps[name].name);
  const missing = all.filter(isMissing);
  if (missing.length === 0 || missing.length === all.length) return { found: [], lost: [] };
  for (const fd of mapsInForce(pinDirectory)) {
    pinAgain(pinDirectory, missing, fd);
    close(fd);
  }
  const lost = missing.filter(isMissing).map((name) => maps[name].name);
  const found = missing.map((name) => maps[name].name).filter((name) => !lost.includes(name));
  if (lost.length > 0) for (const name of listPins(directory)) rmSync(mapPin(pinDirectory, name), { force: true });
  return { found, lost };
}

function pinAgain(pinDirectory: string, missing: readonly MapName[], fd: number): void {
  const info = mapInfo(fd);
  if (info === undefined) return;
  const name = missing.find(
    (each) => maps[each].name.slice(0, NAME_LENGTH) === info.name && shapeMismatch(maps[each], info) === undefined,
  );
  if (name !== undefined) objPin(fd, mapPin(pinDirectory, maps[name].name));
}

/** Descriptors of all maps of the programs that pinned links keep attached; none without the right to see them. */
function mapsInForce(pinDirectory: string): number[] {
  const ids = new Set<number>();
  for (const programId of new Set(listLinks(pinDirectory).map((link) => link.programId))) {
    const fd = byId(Command.PROG_GET_FD_BY_ID, programId);
    if (fd < 0) return [];
    const used = mapIdsOf(fd);
    close(fd);
    // One that somebody else put into the link has other maps.
    if (belongs(pinDirectory, used)) for (const id of used) ids.add(id);
  }
  return [...ids].map((id) => byId(Command.MAP_GET_FD_BY_ID, id)).filter((fd) => fd >= 0);
}

/** Has a program the very maps that are still pinned, of those that it uses? One at least. */
function belongs(pinDirectory: string, used: readonly number[]): boolean {
  const pinned = (Object.keys(maps) as MapName[]).map((name) =>
    withPin(mapPin(pinDirectory, maps[name].name), (fd) => mapInfo(fd)?.id),
  );
  return pinned.some((id) => id !== undefined && used.includes(id));
}

/** @returns a descriptor, or -errno */
function byId(command: number, id: number): number {
  const attr = newAttr();
  attr.writeUInt32LE(id, 0);
  return bpf(command, attr);
}
