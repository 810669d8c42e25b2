/** The stack that a BPF program needs, as the verifier adds it up. */
import type { BpfFunction } from './elf.ts';

const FRAME_POINTER = 10;
const MOVE = 0xbf;
const ADD = 0x07;
/** Load, store, and store of a register: the low three bits of an instruction. */
const LOADS = 1;
const STORES: readonly number[] = [2, 3];
/** Kernels before 6.8 round every frame up to this; later ones to 16 bytes when there is a JIT. */
const ROUNDING = 32;

/** Bytes of one function's frame: the lowest address that it derives from the frame pointer. */
export function frameBytes({ code }: BpfFunction): number {
  const derived = new Set<number>();
  let bytes = 0;
  for (let at = 0; at < code.length; at += 8) {
    const operation = code[at] ?? 0;
    const target = (code[at + 1] ?? 0) & 15;
    const source = (code[at + 1] ?? 0) >> 4;
    const kind = operation & 7;
    const base = kind === LOADS ? source : STORES.includes(kind) ? target : -1;
    if (base === FRAME_POINTER) bytes = Math.max(bytes, -code.readInt16LE(at + 2));
    if (operation === ADD && derived.has(target)) bytes = Math.max(bytes, -code.readInt32LE(at + 4));
    if (!STORES.includes(kind)) derived.delete(target);
    if (operation === MOVE && source === FRAME_POINTER) derived.add(target);
  }
  return bytes;
}

export interface Chain {
  /** Of all frames, rounded. */
  readonly bytes: number;
  /** `name:bytes` from the program down. */
  readonly frames: readonly string[];
}

/** The chain of calls from a function that needs the most stack. */
export function deepestChain(functions: readonly BpfFunction[], name: string): Chain {
  const found = functions.find((candidate) => candidate.name === name);
  if (found === undefined) throw new Error(`find function ${name}: the object has none`);
  const own = frameBytes(found);
  const below = found.calls
    .map((called) => deepestChain(functions, called))
    .reduce((most, chain) => (chain.bytes > most.bytes ? chain : most), { bytes: 0, frames: [] });
  const bytes = Math.max(ROUNDING, Math.ceil(own / ROUNDING) * ROUNDING);
  return { bytes: bytes + below.bytes, frames: [`${name}:${own}`, ...below.frames] };
}

/** The longest chain of calls from a function, in frames. */
export function longestChain(functions: readonly BpfFunction[], name: string): number {
  const calls = functions.find((candidate) => candidate.name === name)?.calls ?? [];
  return 1 + Math.max(0, ...calls.map((called) => longestChain(functions, called)));
}
