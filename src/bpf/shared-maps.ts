/** The maps of the schema: one of each, shared by all objects and with the run before. */
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { type MapName, maps } from '../../maps-schema/gen/codecs.ts';
import { SluiceError } from '../model/errors.ts';
import { ENOENT, kernelError } from './errno.ts';
import { each, type Handle, libbpf } from './libbpf.ts';
import { objGet, objPin } from './object.ts';
import { infoOrClose, shapeMismatch } from './open.ts';
import { mapPin } from './paths.ts';
import { close } from './syscall.ts';

/** A map that was there already. */
export interface ReusedMap {
  readonly name: MapName;
  readonly maxEntries: number;
  /** What was asked for; differs when the existing map keeps its own size. */
  readonly wantedEntries: number;
}

const BY_C_NAME = new Map(Object.entries(maps).map(([name, shape]) => [shape.name, name as MapName]));

/** Finds, lends and pins the shared maps of one load. Maps that are not of the schema stay their object's own. */
export class SharedMaps {
  readonly reused: ReusedMap[] = [];
  /** Names of maps that this load made. */
  readonly created: MapName[] = [];
  readonly #pinDirectory: string;
  readonly #sizes: Partial<Record<MapName, number>>;
  /** Descriptors by name: pinned before, or made by an object of this load. Not ours when borrowed from libbpf. */
  readonly #known = new Map<MapName, { fd: number; owned: boolean }>();

  constructor(pinDirectory: string, sizes: Partial<Record<MapName, number>>) {
    this.#pinDirectory = pinDirectory;
    this.#sizes = sizes;
  }

  /** Is the map one of those that the objects of this load use? */
  has(name: MapName): boolean {
    return this.#known.has(name);
  }

  /** Before an object is loaded: gives it the maps there are, and the others their size. */
  prepare(object: Handle, file: string): void {
    const { bpf_object__next_map, bpf_map__name, bpf_map__reuse_fd, bpf_map__set_max_entries } = libbpf();
    for (const map of each(object, bpf_object__next_map)) {
      const name = BY_C_NAME.get(bpf_map__name(map));
      if (name === undefined) continue;
      this.#checkObject(map, name, file);
      const wantedEntries = this.#sizes[name] ?? maps[name].maxEntries;
      const fd = this.#known.get(name)?.fd ?? this.#openPinned(name, wantedEntries);
      const result: number =
        fd === undefined ? bpf_map__set_max_entries(map, wantedEntries) : bpf_map__reuse_fd(map, fd);
      if (result < 0)
        throw kernelError('LOAD_FAILED', `load ${file}: prepare map ${maps[name].name}`, 'libbpf', -result);
    }
  }

  /** After an object is loaded: what it made is lent to the next one. */
  loaded(object: Handle): void {
    const { bpf_object__next_map, bpf_map__name, bpf_map__fd } = libbpf();
    for (const map of each(object, bpf_object__next_map)) {
      const name = BY_C_NAME.get(bpf_map__name(map));
      if (name === undefined || this.#known.has(name)) continue;
      this.#known.set(name, { fd: bpf_map__fd(map), owned: false });
      this.created.push(name);
    }
  }

  /** After all are loaded: pins what was made. On failure what was pinned here is unpinned again. */
  pin(): void {
    const pinned: string[] = [];
    for (const name of this.created) {
      const path = mapPin(this.#pinDirectory, maps[name].name);
      mkdirSync(dirname(path), { recursive: true });
      const result = objPin(this.#known.get(name)?.fd ?? -1, path);
      if (result < 0) {
        for (const done of pinned) rmSync(done, { force: true });
        throw kernelError('LOAD_FAILED', `pin map ${maps[name].name} at ${path}`, 'BPF_OBJ_PIN', -result);
      }
      pinned.push(path);
    }
  }

  /** Pins again what is not pinned any more. @throws SluiceError MAP_FAILED when it cannot be */
  pinAgain(): void {
    for (const [name, { fd }] of this.#known) {
      const path = mapPin(this.#pinDirectory, maps[name].name);
      if (existsSync(path)) continue;
      const result = objPin(fd, path);
      if (result < 0) throw kernelError('MAP_FAILED', `pin map ${maps[name].name} at ${path}`, 'BPF_OBJ_PIN', -result);
    }
  }

  /** Closes the descriptors that were opened here. */
  close(): void {
    for (const { fd, owned } of this.#known.values()) if (owned) close(fd);
    this.#known.clear();
  }

  #openPinned(name: MapName, wantedEntries: number): number | undefined {
    const path = mapPin(this.#pinDirectory, maps[name].name);
    const fd = objGet(path);
    if (fd === -ENOENT) return undefined;
    if (fd < 0) throw kernelError('MAP_FAILED', `open map ${maps[name].name} at ${path}`, 'BPF_OBJ_GET', -fd);
    const info = infoOrClose(fd);
    const mismatch = info === undefined ? 'no map' : shapeMismatch(maps[name], info);
    if (info === undefined || mismatch !== undefined) {
      close(fd);
      throw new SluiceError(
        'SCHEMA_MISMATCH',
        `reuse map ${maps[name].name}: ${path} has ${mismatch}; run "sluice cleanup" with the version that made it`,
      );
    }
    this.#known.set(name, { fd, owned: true });
    this.reused.push({ name, maxEntries: info.maxEntries, wantedEntries });
    return fd;
  }

  #checkObject(map: Handle, name: MapName, file: string): void {
    const { bpf_map__type, bpf_map__key_size, bpf_map__value_size } = libbpf();
    const info = { type: bpf_map__type(map), keySize: bpf_map__key_size(map), valueSize: bpf_map__value_size(map) };
    const mismatch = shapeMismatch(maps[name], info);
    if (mismatch === undefined) return;
    throw new SluiceError(
      'SCHEMA_MISMATCH',
      `load ${file}: its map ${maps[name].name} has ${mismatch}; build it again with "make build"`,
    );
  }
}
