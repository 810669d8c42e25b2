/** Functions of a compiled BPF object: their instructions and whom they call. */
import { readFileSync } from 'node:fs';

const SHT_SYMTAB = 2;
const SHT_REL = 9;
const STT_FUNC = 2;
const INSTRUCTION_BYTES = 8;
const CALL = 0x85;
const PSEUDO_CALL = 1;

interface Section {
  readonly name: string;
  readonly type: number;
  readonly data: Buffer;
  /** Of another section, by type. */
  readonly link: number;
  readonly info: number;
}

interface Symbol {
  readonly name: string;
  readonly type: number;
  readonly section: number;
  readonly value: number;
  readonly size: number;
}

export interface BpfFunction {
  readonly name: string;
  /** struct bpf_insn, one after the other. */
  readonly code: Buffer;
  /** Names of the functions of the object that it calls. */
  readonly calls: readonly string[];
}

const textAt = (table: Buffer, at: number) => table.toString('latin1', at, table.indexOf(0, at));
const number = (bytes: Buffer, at: number) => Number(bytes.readBigUInt64LE(at));

function readSections(file: Buffer): Section[] {
  const start = number(file, 40);
  const size = file.readUInt16LE(58);
  const headers = Array.from({ length: file.readUInt16LE(60) }, (_, i) => file.subarray(start + i * size));
  const dataOf = (header: Buffer) => file.subarray(number(header, 24), number(header, 24) + number(header, 32));
  const names = dataOf(headers[file.readUInt16LE(62)] ?? file);
  return headers.map((header) => ({
    name: textAt(names, header.readUInt32LE(0)),
    type: header.readUInt32LE(4),
    data: dataOf(header),
    link: header.readUInt32LE(40),
    info: header.readUInt32LE(44),
  }));
}

function readSymbols(sections: readonly Section[]): Symbol[] {
  const table = sections.find(({ type }) => type === SHT_SYMTAB);
  const names = sections[table?.link ?? 0];
  if (table === undefined || names === undefined) throw new Error('read the symbols: the object has none');
  return Array.from({ length: table.data.length / 24 }, (_, i) => {
    const entry = table.data.subarray(i * 24);
    return {
      name: textAt(names.data, entry.readUInt32LE(0)),
      type: (entry[4] ?? 0) & 15,
      section: entry.readUInt16LE(6),
      value: number(entry, 8),
      size: number(entry, 16),
    };
  });
}

/** st_shndx of a symbol that is defined elsewhere (SHN_UNDEF). */
const UNDEFINED_SECTION = 0;

/** Symbols by the offset in a section that a relocation fills in. */
function relocations(sections: readonly Section[], symbols: readonly Symbol[], section: number): Map<number, Symbol> {
  const tables = sections.filter(({ type, info }) => type === SHT_REL && info === section);
  return new Map(
    tables.flatMap(({ data }) =>
      Array.from({ length: data.length / 16 }, (_, i): [number, Symbol] => {
        const symbol = symbols[data.readUInt32LE(i * 16 + 12)];
        if (symbol === undefined) throw new Error('read the relocations: one names no symbol');
        return [number(data, i * 16), symbol];
      }),
    ),
  );
}

/** @param path of an object as `make build` leaves it */
export function readFunctions(path: string): BpfFunction[] {
  const sections = readSections(readFileSync(path));
  const symbols = readSymbols(sections);
  const functions = symbols.filter(({ type }) => type === STT_FUNC);
  return functions.map(({ name, section, value, size }) => {
    const data = sections[section]?.data ?? Buffer.alloc(0);
    const filledIn = relocations(sections, symbols, section);
    const calls = new Set<string>();
    for (let at = value; at < value + size; at += INSTRUCTION_BYTES) {
      if (data[at] !== CALL || (data[at + 1] ?? 0) >> 4 !== PSEUDO_CALL) continue;
      const symbol = filledIn.get(at);
      // A function of the kernel: it has a stack of its own.
      if (symbol?.section === UNDEFINED_SECTION) continue;
      const distance = (data.readInt32LE(at + 4) + 1) * INSTRUCTION_BYTES;
      const target = symbol === undefined ? at + distance : symbol.value + distance;
      const home = symbol?.section ?? section;
      const called = functions.find((other) => other.section === home && other.value === target);
      if (called === undefined) throw new Error(`read ${name}: the call at ${at} leads to no function`);
      calls.add(called.name);
    }
    return { name, code: data.subarray(value, value + size), calls: [...calls] };
  });
}
