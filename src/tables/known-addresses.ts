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

  constructor(map: KernelArray) {
    this.#bytes = map.view;
  }

  /** @param key as knownSlotOf has it */
  add(key: string): void {
    const slot = knownSlotOf(key);
    if (this.#bytes[slot] === 0) this.#bytes[slot] = 1;
  }

  /** @param key the bytes of a frontend_key, as latin1 text: its port is one of a frontend */
  addPort(key: string): void {
    const at = PORTS + ((key.charCodeAt(FRONTEND_PORT) << 8) | key.charCodeAt(FRONTEND_PORT + 1));
    if (this.#bytes[at] === 0) this.#bytes[at] = 1;
  }
}
