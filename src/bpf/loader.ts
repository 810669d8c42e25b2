/** Loads the compiled objects: knobs set, maps shared, programs verified. Nothing is attached here. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Knobs, MapName } from '../../maps-schema/gen/codecs.ts';
import { SluiceError } from '../model/errors.ts';
import { EPERM, KernelError, kernelError } from './errno.ts';
import { errno, inBackground } from './ffi.ts';
import { flowTableSizes, initializeFlowTables } from './flow-table.ts';
import { each, type Handle, libbpf } from './libbpf.ts';
import { failedPrograms, lastLines, newLogBuffer, withWarnings } from './libbpf-log.ts';
import { raiseMemlock } from './memlock.ts';
import { setKnobs } from './rodata.ts';
import { type ReusedMap, SharedMaps } from './shared-maps.ts';

export const DEFAULT_OBJECTS: readonly string[] = ['sock.bpf.o', 'tc.bpf.o', 'sweep.bpf.o'];

/** Objects that are made twice: the second ones call functions of the kernel's nf_conntrack (bpf/lib/owner.h). */
const WITH_CONNTRACK: Readonly<Record<string, string>> = {
  'tc.bpf.o': 'tc-conntrack.bpf.o',
  'xdp.bpf.o': 'xdp-conntrack.bpf.o',
};

export interface LoadOptions {
  /** Where `make build` left the objects. */
  readonly objectDirectory: string;
  /** As `ensurePinDirectory` gives it. */
  readonly pinDirectory: string;
  readonly knobs: Knobs;
  /** Entries of maps that are made new; the schema's numbers for the others. */
  readonly mapSizes?: Partial<Record<MapName, number>>;
  /** File names; default: all that the agent needs. */
  readonly objects?: readonly string[];
  /** Whether programs look into nf_conntrack: of the objects that can, those are taken. Default: not. */
  readonly conntrack?: boolean;
  /** Programs that an older kernel may refuse, e.g. `getpeername4`: they are then left out. */
  readonly optional?: readonly string[];
  readonly signal?: AbortSignal;
}

/** What was loaded; it owns descriptors, so close it. Links keep their programs, pins their maps. */
export interface LoadedPrograms {
  /** Descriptor by the program's name. */
  readonly programs: ReadonlyMap<string, number>;
  /** Optional programs that the kernel refused. */
  readonly skipped: readonly string[];
  /** Why programs do not look into nf_conntrack, although they were to; undefined: they do, or were not to. */
  readonly withoutConntrack: string | undefined;
  /** Maps that were there already: their rows and sizes stay. */
  readonly reused: readonly ReusedMap[];
  readonly created: readonly MapName[];
  /** @throws SluiceError LOAD_FAILED when no such program was loaded. */
  program(name: string): number;
  /** Pins the maps again that are not pinned any more. @throws SluiceError MAP_FAILED */
  pinMapsAgain(): void;
  close(): void;
}

interface OpenObject {
  readonly handle: Handle;
  readonly programs: Map<string, Handle>;
}

function openObject(directory: string, file: string): Promise<OpenObject> {
  const path = join(directory, file);
  if (!existsSync(path)) throw new SluiceError('OBJECT_MISSING', `load ${path}: no such file; run "make build"`);
  const { bpf_object__open_file, bpf_object__next_program, bpf_program__name } = libbpf();
  return withWarnings((warnings) => {
    const handle = bpf_object__open_file(path, null) as Handle;
    const failed = errno();
    if (handle === null || handle === 0n) {
      const { message, cause } = kernelError('LOAD_FAILED', `load ${path}`, 'bpf_object__open_file', failed);
      throw new SluiceError('LOAD_FAILED', [message, ...warnings].join('\n  '), { cause });
    }
    const programs = [...each(handle, bpf_object__next_program)].map((p): [string, Handle] => [
      bpf_program__name(p),
      p,
    ]);
    return { handle, programs: new Map(programs) };
  });
}

/** @returns undefined, or why the kernel refused and which program. */
function tryLoad(object: OpenObject, file: string): Promise<{ error: SluiceError; programs: string[] } | undefined> {
  const { bpf_object__load, bpf_program__set_log_buf } = libbpf();
  const logs = new Map([...object.programs.keys()].map((name) => [name, newLogBuffer()]));
  for (const [name, log] of logs) bpf_program__set_log_buf(object.programs.get(name), log, log.length);
  return withWarnings(async (warnings) => {
    const result = await inBackground(bpf_object__load, object.handle);
    if (result === 0) return undefined;
    const textOf = (log: Buffer) => log.toString('utf8', 0, log.indexOf(0));
    const complaints = [...logs].filter(([, log]) => log[0] !== 0);
    const programs = [...new Set([...failedPrograms(warnings), ...complaints.map(([name]) => name)])];
    const what = programs.length > 0 ? `load ${file}: program ${programs.join(', ')}` : `load ${file}`;
    // The verifier refuses with EACCES too: only EPERM means that privileges are missing.
    if (result === -EPERM && complaints.length === 0)
      return { error: kernelError('PERMISSION', what, 'bpf_object__load', EPERM), programs };
    const cause = new KernelError('bpf_object__load', -result);
    const lines = complaints.length > 0 ? complaints.flatMap(([, log]) => lastLines(textOf(log))) : warnings;
    return {
      error: new SluiceError('LOAD_FAILED', [`${what}: ${cause.message}`, ...lines].join('\n  '), { cause }),
      programs,
    };
  });
}

/** Opens and loads one object; again without the optional programs that the kernel refused. */
async function loadObject(
  options: LoadOptions,
  file: string,
  shared: SharedMaps,
  skipped: string[],
): Promise<OpenObject> {
  const optional = new Set(options.optional);
  for (;;) {
    const object = await openObject(options.objectDirectory, file);
    let keep = false;
    try {
      for (const name of skipped) {
        const program = object.programs.get(name);
        if (program !== undefined) libbpf().bpf_program__set_autoload(program, false);
      }
      setKnobs(object.handle, file, options.knobs);
      shared.prepare(object.handle, file);
      const failure = await tryLoad(object, file);
      if (failure === undefined) {
        for (const name of skipped) object.programs.delete(name);
        shared.loaded(object.handle);
        keep = true;
        return object;
      }
      const refused = failure.programs.filter((name) => optional.has(name) && !skipped.includes(name));
      if (refused.length === 0) throw failure.error;
      skipped.push(...refused);
    } finally {
      if (!keep) libbpf().bpf_object__close(object.handle);
    }
  }
}

/**
 * Loads all objects or none. Maps pinned before are used as they are; maps made here are pinned
 * once everything is loaded, so that a failure leaves the pins as they were.
 * @throws SluiceError OBJECT_MISSING, LIBBPF_MISSING, LOAD_FAILED (with the lines of the verifier
 * that matter), SCHEMA_MISMATCH, PERMISSION or MAP_FAILED.
 */
export async function loadPrograms(options: LoadOptions): Promise<LoadedPrograms> {
  raiseMemlock();
  const shared = new SharedMaps(options.pinDirectory, flowTableSizes(options.mapSizes ?? {}));
  const objects: OpenObject[] = [];
  const skipped: string[] = [];
  let refusal: Error | undefined;
  const close = () => {
    for (const object of objects.splice(0)) libbpf().bpf_object__close(object.handle);
    shared.close();
  };
  try {
    for (const file of options.objects ?? DEFAULT_OBJECTS) {
      options.signal?.throwIfAborted();
      const better = options.conntrack && refusal === undefined ? WITH_CONNTRACK[file] : undefined;
      if (better !== undefined) {
        const object = await loadObject(options, better, shared, skipped).catch((error: Error) => {
          refusal = error;
        });
        if (object) {
          objects.push(object);
          continue;
        }
      }
      objects.push(await loadObject(options, file, shared, skipped));
    }
    options.signal?.throwIfAborted();
    shared.pin();
    if (shared.has('flows')) initializeFlowTables(options.pinDirectory, shared.created);
  } catch (error) {
    close();
    throw error;
  }
  const programs = new Map(
    objects.flatMap((o) => [...o.programs].map(([name, p]): [string, number] => [name, libbpf().bpf_program__fd(p)])),
  );
  return {
    programs,
    skipped,
    withoutConntrack: refusal?.message,
    reused: shared.reused,
    created: shared.created,
    program(name) {
      const fd = programs.get(name);
      if (fd === undefined)
        throw new SluiceError(
          'LOAD_FAILED',
          `attach ${name}: no such program is loaded; build again with "make build"`,
        );
      return fd;
    },
    pinMapsAgain: () => shared.pinAgain(),
    close,
  };
}
