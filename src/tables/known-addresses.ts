/**
 * known_addresses: the addresses and ports that packets may have for which there is a frontend or a flow; to all
 * others the data path does nothing, without a lookup. Bytes are set and never cleared: bpf/lib/known.h says why.
 */
import type { KernelArray } from '../bpf/kernel-map.ts';

/** Offset of known_addresses.ports: after `known` and `snat`, which is the data path's. */
const PORTS = 2 << 16;
/** Offset of frontend_key.port, in network byte order. */
const FRONTEND_PORT = 16;
/** KNOWN_MULTIPLIER of bpf/lib/known.h. */
const MULTIPLIER = 0x9e3779b1;

/** @param key the 16 bytes of an address, as latin1 text @returns known_slot() of bpf/lib/known.h */
export function knownSlotOf(key: string): number {
  let words = 0;
  for (let i = 0; i < 16; i++) words ^= key.charCodeAt(i) << ((i & 3) * 8);
  return Math.imul(words, MULTIPLIER) >>> 16;
}

export class KnownAddresses {
  readonly #bytes: Buffer;
  /** The map and its copy in words. */
  readonly #words: Uint32Array;
  /** Every byte that was ever seen set. */
  readonly #seen: Uint32Array;

  constructor(map: KernelArray) {
    const { view } = map;
    this.#bytes = view;
    this.#words = new Uint32Array(view.buffer, view.byteOffset, view.length >> 2);
    this.#seen = Uint32Array.from(this.#words);
  }

  /** Sets again what was set and is not any more, and notes what the data path has set. @returns bytes set again */
  restore(): number {
    let count = 0;
    for (let i = 0; i < this.#words.length; i++) {
      const now = this.#words[i] ?? 0;
      const seen = this.#seen[i] ?? 0;
      if (now === seen) continue;
      this.#seen[i] = seen | now;
      // By the byte: the data path may set another one of the word meanwhile.
      for (let byte = 4 * i; byte < 4 * i + 4; byte++) {
        if (((seen >>> (8 * (byte & 3))) & 0xff) === 0 || this.#bytes[byte] !== 0) continue;
        this.#bytes[byte] = 1;
        count++;
      }
    }
    return count;
  }

  #set(at: number): void {
    if (this.#bytes[at] === 0) this.#bytes[at] = 1;
    const word = at >> 2;
    this.#seen[word] = (this.#seen[word] ?? 0) | (1 << (8 * (at & 3)));
  }

  /** @param key as knownSlotOf has it */
  add(key: string): void {
    this.#set(knownSlotOf(key));
  }

  /** @param key the bytes of a frontend_key, as latin1 text: its port is one of a frontend */
  addPort(key: string): void {
    const at = PORTS + ((key.charCodeAt(FRONTEND_PORT) << 8) | key.charCodeAt(FRONTEND_PORT + 1));
    this.#set(at);
  }
}
