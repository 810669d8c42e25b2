/** Which map operations a program does: its objects compiled to note them, and what they noted. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bpf, Command, close, newAttr, putPointer } from '../../../src/bpf/syscall.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const MAP_GET_FD_BY_ID = 14;
/** struct bpf_prog_info as far as its map ids; struct bpf_map_info: offset of the name and of the value's size. */
const PROG_INFO = { size: 64, count: 52, ids: 56 };
const MAP_INFO = { size: 40, name: 24, valueSize: 12 };
const MAX_MAPS = 64;
/** Of count-map-calls.h: a count, then MAP_CALLS entries. */
const CALL_BYTES = 32;

/** Compiles the packet programs with count-map-calls.h. @returns the directory, which the caller removes. */
export function compileCounting(): string {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-count-'));
  const machine = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
  const flags = ['-O2', '-g', '-target', 'bpf', '-mcpu=v3', '-I', 'maps-schema/gen', '-I', 'bpf'];
  flags.push('-I', `/usr/include/${machine}-linux-gnu`, '-include', 'test/support/bpf-count/count-map-calls.h');
  for (const name of ['tc', 'xdp', 'sweep']) {
    const out = join(directory, `${name}.bpf.o`);
    execFileSync(process.env.CLANG ?? 'clang', [...flags, '-c', `bpf/${name}.bpf.c`, '-o', out], { cwd: ROOT });
  }
  return directory;
}

function call(command: number, fill: (attr: Buffer) => void): number {
  const attr = newAttr();
  fill(attr);
  const result = bpf(command, attr);
  if (result < 0) throw new Error(`read the noted map operations: bpf(${command}) fails with errno ${-result}`);
  return result;
}

function info(fd: number, into: Buffer): Buffer {
  call(Command.OBJ_GET_INFO_BY_FD, (attr) => {
    attr.writeUInt32LE(fd, 0);
    attr.writeUInt32LE(into.length, 4);
    putPointer(attr, 8, into);
  });
  return into;
}

function mapIds(program: number): number[] {
  const ids = Buffer.alloc(4 * MAX_MAPS);
  const request = newAttr().subarray(0, PROG_INFO.size) as Buffer;
  request.writeUInt32LE(MAX_MAPS, PROG_INFO.count);
  putPointer(request, PROG_INFO.ids, ids);
  const count = info(program, request).readUInt32LE(PROG_INFO.count);
  return Array.from({ length: count }, (_, i) => ids.readUInt32LE(4 * i));
}

export interface MapCalls {
  /** Forgets what was noted. */
  clear(): void;
  /** Since then, in order: `?flows` a lookup, `+flows` an update, `-flows` a deletion. */
  read(): string[];
  close(): void;
}

/** Opens the notes of a program of compileCounting. @throws Error when it has none */
export function openMapCalls(program: number): MapCalls {
  for (const id of mapIds(program)) {
    const fd = call(MAP_GET_FD_BY_ID, (attr) => attr.writeUInt32LE(id, 0));
    const about = info(fd, Buffer.alloc(MAP_INFO.size));
    if (about.toString('latin1', MAP_INFO.name, MAP_INFO.size).includes('.bss')) return notesOf(fd, about);
    close(fd);
  }
  throw new Error('open the noted map operations: the program is not compiled with count-map-calls.h');
}

function notesOf(fd: number, about: Buffer): MapCalls {
  const value = Buffer.alloc(about.readUInt32LE(MAP_INFO.valueSize));
  const transfer = (command: number) =>
    call(command, (attr) => {
      attr.writeUInt32LE(fd, 0);
      putPointer(attr, 8, Buffer.alloc(4));
      putPointer(attr, 16, value);
    });
  return {
    clear() {
      value.fill(0);
      transfer(Command.MAP_UPDATE_ELEM);
    },
    read() {
      transfer(Command.MAP_LOOKUP_ELEM);
      return Array.from({ length: value.readUInt32LE(0) }, (_, i) => {
        const entry = value.subarray(4 + CALL_BYTES * i, 4 + CALL_BYTES * (i + 1)).toString('latin1');
        return `${entry[0]}${entry.slice(2, entry.indexOf('\0'))}`;
      });
    },
    close: () => close(fd),
  };
}
