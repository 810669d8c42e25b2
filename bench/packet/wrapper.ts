/** The programs of bpf/restore.bpf.c: they put a packet back before each run of the program that is measured. */
import { errno } from '../../src/bpf/ffi.ts';
import { each, type Handle, libbpf } from '../../src/bpf/libbpf.ts';
import { bpf, Command, newAttr, putPointer } from '../../src/bpf/syscall.ts';
import { testRun } from '../../src/bpf/test-run.ts';

/** FRAME_BYTES of bpf/restore.h. */
export const FRAME_BYTES = 80;
/** CALLS of bpf/restore.h. */
const CALLS = 8;
/** Length of struct image's `bytes`. */
const IMAGE_BYTES = 136;

export type Hook = 'xdp' | 'tc';

export interface Subject {
  readonly hook: Hook;
  /** Descriptor of the program to measure. */
  readonly program: number;
  /** FRAME_BYTES long. */
  readonly frame: Buffer;
  readonly context: Buffer;
  /** Each run has another source port: where the port and the checksum stand in the frame. */
  readonly renew?: { readonly source: number; readonly check: number };
}

export interface Run {
  /** Verdict of the last run. */
  readonly retval: number;
  /** A run with and without the program, in ns. */
  readonly with: number;
  readonly without: number;
}

export interface Wrapper {
  /** Runs the program `repeat` times, and an empty one as often. */
  run(subject: Subject, repeat: number): Run;
  /** What a call of a function and its return cost on this machine, in ns. */
  callCost(subject: Subject, repeat: number): number;
  close(): void;
}

function updateMap(fd: number, value: Buffer): void {
  const attr = newAttr();
  attr.writeUInt32LE(fd, 0);
  putPointer(attr, 8, Buffer.alloc(4));
  putPointer(attr, 16, value);
  const result = bpf(Command.MAP_UPDATE_ELEM, attr);
  if (result < 0) throw new Error(`write a map of the restoring wrapper: errno ${-result}`);
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
}

function imageOf({ frame, renew }: Subject): Buffer {
  if (frame.length !== FRAME_BYTES) throw new Error(`measure a frame of ${frame.length} bytes: not ${FRAME_BYTES}`);
  const head = Buffer.alloc(8);
  head.writeUInt32LE(renew?.source ?? 0, 0);
  head.writeUInt32LE(renew?.check ?? 0, 4);
  return Buffer.concat([head, frame], head.length + IMAGE_BYTES);
}

/** @param object what buildLoadTools compiled @throws Error when the kernel refuses it */
export function openWrapper(object: string): Wrapper {
  const lib = libbpf();
  const handle = lib.bpf_object__open_file(object, null) as Handle;
  if (!handle) throw new Error(`open ${object}: errno ${errno()}`);
  const error = lib.bpf_object__load(handle) as number;
  if (error !== 0) throw new Error(`load ${object}: errno ${-error}`);
  const maps = new Map(
    [...each(handle, lib.bpf_object__next_map)].map((m): [string, number] => [
      lib.bpf_map__name(m),
      lib.bpf_map__fd(m),
    ]),
  );
  const programs = new Map(
    [...each(handle, lib.bpf_object__next_program)].map((p): [string, number] => [
      lib.bpf_program__name(p),
      lib.bpf_program__fd(p),
    ]),
  );
  const find = (of: ReadonlyMap<string, number>, name: string) => {
    const fd = of.get(name);
    if (fd === undefined) throw new Error(`find ${name} in ${object}: compile it again`);
    return fd;
  };
  const runOnce = ({ hook, frame, context }: Subject, program: number, repeat: number) => {
    updateMap(find(maps, `${hook}_target`), int32(program));
    return testRun(find(programs, `restore_${hook}`), { data: frame, context, repeat });
  };
  return {
    run(subject, repeat) {
      updateMap(find(maps, 'images'), imageOf(subject));
      const empty = runOnce(subject, find(programs, `empty_${subject.hook}`), repeat);
      updateMap(find(maps, 'images'), imageOf(subject));
      const full = runOnce(subject, subject.program, repeat);
      return { retval: full.retval, with: full.duration, without: empty.duration };
    },
    callCost(subject, repeat) {
      updateMap(find(maps, 'images'), imageOf(subject));
      const [calls, empty] = ['calls_xdp', 'empty_xdp'].map((name) => runOnce(subject, find(programs, name), repeat));
      return ((calls?.duration ?? 0) - (empty?.duration ?? 0)) / CALLS;
    },
    close: () => lib.bpf_object__close(handle),
  };
}
