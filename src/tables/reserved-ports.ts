/**
 * reserved_ports: what source NAT leaves alone. Two reasons put a port there: the host reserves it, or it is
 * the NodePort of a Service outside the default range, which source NAT spares anyhow.
 */
import type { KernelArray } from '../bpf/kernel-map.ts';
import { formatPortRanges, NODE_PORTS, type PortRange, rangeContains, rangesOfBits } from '../model/ports.ts';
import { isWildcard, portOfFrontend } from './rows.ts';
import type { Written } from './state.ts';

/** 32 ports each. */
const WORDS = 2048;

export class ReservedPorts {
  /** The kernel's memory. */
  readonly #actual: Uint32Array;
  readonly #written: Written;
  #host = new Uint32Array(WORDS);
  readonly #nodePorts = new Uint32Array(WORDS);
  /** Desired frontends by NodePort: protocols and families may share one. */
  readonly #frontends = new Map<number, number>();
  /** Words to compare with the kernel's. */
  readonly #touched = new Set<number>();
  #ready = false;

  constructor({ view }: KernelArray, written: Written) {
    this.#actual = new Uint32Array(view.buffer, view.byteOffset, WORDS);
    this.#written = written;
  }

  /** All NodePorts are known from now on: the next `publish` is the first that writes, and compares every word. */
  touchAll(): void {
    this.#ready = true;
    for (let word = 0; word < WORDS; word++) this.#touched.add(word);
  }

  /** Takes in what the host reserves. */
  setHost(ranges: readonly PortRange[]): void {
    const before = this.#host;
    this.#host = new Uint32Array(WORDS);
    for (const { first, last } of ranges) {
      for (let port = first; port <= last; port++) this.#host[port >> 5] = (this.#host[port >> 5] ?? 0) | bitOf(port);
    }
    this.#host.forEach((bits, word) => {
      if (bits !== before[word]) this.#touched.add(word);
    });
  }

  /** A frontend is desired. @param key in frontends */
  add(key: string): void {
    this.#count(key, 1);
  }

  /** It is desired no more. */
  remove(key: string): void {
    this.#count(key, -1);
  }

  #count(key: string, by: 1 | -1): void {
    if (!isWildcard(key)) return;
    const port = portOfFrontend(key);
    if (rangeContains(NODE_PORTS, port)) return;
    const word = port >> 5;
    const frontends = (this.#frontends.get(port) ?? 0) + by;
    if (frontends > 0) this.#frontends.set(port, frontends);
    else this.#frontends.delete(port);
    const others = (this.#nodePorts[word] ?? 0) & ~bitOf(port);
    this.#nodePorts[word] = frontends > 0 ? others | bitOf(port) : others;
    this.#touched.add(word);
  }

  /** Writes the words that differ from the kernel's. */
  publish(): void {
    if (!this.#ready) return;
    for (const word of this.#touched) {
      const bits = this.#expected(word);
      if (bits === this.#actual[word]) continue;
      this.#actual[word] = bits;
      this.#written.rows++;
      this.#written.bytes += 4;
    }
    this.#touched.clear();
  }

  /** @returns the words that the kernel has otherwise than they were written. */
  differing(): number[] {
    const words: number[] = [];
    for (let word = 0; word < WORDS; word++) if (this.#actual[word] !== this.#expected(word)) words.push(word);
    return words;
  }

  /** The kernel's words that are not empty, as text. */
  *inUse(): Generator<{ readonly row: string; readonly is: string }> {
    for (let word = 0; word < WORDS; word++) {
      if (this.#actual[word] === 0) continue;
      const { row, actual } = this.describe(word);
      yield { row, is: actual };
    }
  }

  /** Writes a word again with the next `publish`. */
  restage(word: number): void {
    this.#touched.add(word);
  }

  describe(word: number): { row: string; expected: string; actual: string } {
    const text = (bits: number) => formatPortRanges(rangesOfBits(Uint32Array.of(bits), 32 * word)) || 'none';
    return {
      row: `ports ${32 * word}-${32 * word + 31}`,
      expected: text(this.#expected(word)),
      actual: text(this.#actual[word] ?? 0),
    };
  }

  #expected(word: number): number {
    return ((this.#host[word] ?? 0) | (this.#nodePorts[word] ?? 0)) >>> 0;
  }
}

function bitOf(port: number): number {
  return 1 << (port & 31);
}
