/** backend_slots: a copy of what was written, and the memory that packets read. */
import { BACKEND_KEPT, backendSlot } from '../../maps-schema/gen/codecs.ts';
import type { KernelArray } from '../bpf/kernel-map.ts';
import { SluiceError } from '../model/errors.ts';
import type { Extent, Written } from './state.ts';

/** Bytes of a slot. */
export const SLOT = backendSlot.size;
/** 32-bit words of a slot: four of address, one of port and flags, the backend id. */
export const SLOT_WORDS = SLOT / 4;
const PORT_AND_FLAGS = 4;
const ID = 5;

/** Slots in memory of ours: bytes to encode into, words to compare. */
export interface SlotBuffer {
  readonly bytes: Buffer;
  readonly words: Uint32Array;
}

export function createSlotBuffer(slots: number): SlotBuffer {
  const memory = new ArrayBuffer(slots * SLOT);
  return { bytes: Buffer.from(memory), words: new Uint32Array(memory) };
}

export function backendIdOf(slots: SlotBuffer, slot: number): number {
  return slots.words[slot * SLOT_WORDS + ID] ?? 0;
}

export function isKept(slots: SlotBuffer, slot: number): boolean {
  return (((slots.words[slot * SLOT_WORDS + PORT_AND_FLAGS] ?? 0) >>> 16) & BACKEND_KEPT) !== 0;
}

export function setBackendId(slots: SlotBuffer, slot: number, id: number): void {
  slots.words[slot * SLOT_WORDS + ID] = id;
}

/** @returns address and port of a slot as a key. */
export function endpointKey(slots: SlotBuffer, slot: number): string {
  return slots.bytes.toString('latin1', slot * SLOT, slot * SLOT + 18);
}

/** @returns what says which backend it is, whether it is there or gone. @param endpoint as endpointKey has it */
export function backendName(port: { readonly name: string }, endpoint: string): string {
  return `${port.name} ${endpoint}`;
}

/** Do two slots hold the same address and port? */
export function sameEndpoint(a: SlotBuffer, slotA: number, b: SlotBuffer, slotB: number): boolean {
  const x = slotA * SLOT_WORDS;
  const y = slotB * SLOT_WORDS;
  for (let i = 3; i >= 0; i--) if (a.words[x + i] !== b.words[y + i]) return false;
  return ((a.words[x + PORT_AND_FLAGS] ?? 0) & 0xffff) === ((b.words[y + PORT_AND_FLAGS] ?? 0) & 0xffff);
}

/** Do two runs of slots hold the same bytes? */
export function sameSlots(a: SlotBuffer, slotA: number, b: SlotBuffer, slotB: number, count: number): boolean {
  const x = slotA * SLOT_WORDS;
  const y = slotB * SLOT_WORDS;
  for (let i = count * SLOT_WORDS - 1; i >= 0; i--) if (a.words[x + i] !== b.words[y + i]) return false;
  return true;
}

export class SlotStore {
  readonly #view: Buffer;
  readonly #written: Written;
  #copy = createSlotBuffer(1024);
  /** Base and length of runs. */
  #staged = new Map<number, number>();
  readonly maxEntries: number;

  constructor(array: KernelArray, written: Written) {
    if (array.stride !== SLOT) {
      throw new SluiceError(
        'SCHEMA_MISMATCH',
        `map backend_slots: slots of ${array.stride} bytes are pinned, ${SLOT} are expected; run "sluice cleanup"`,
      );
    }
    this.#view = array.view;
    this.#written = written;
    this.maxEntries = array.shape.maxEntries;
  }

  /** What was written; replaced when it grows, so do not keep it over a call of `reach`. */
  get copy(): SlotBuffer {
    return this.#copy;
  }

  /** Makes the copy hold slots up to `end` (exclusive). */
  reach(end: number): void {
    const have = this.#copy.bytes.length / SLOT;
    if (end <= have) return;
    const larger = createSlotBuffer(Math.max(end, Math.min(have * 2, this.maxEntries)));
    larger.words.set(this.#copy.words);
    this.#copy = larger;
  }

  /** Reads slots from the kernel into the copy. */
  adopt(base: number, length: number): void {
    this.reach(base + length);
    this.#view.copy(this.#copy.bytes, base * SLOT, base * SLOT, (base + length) * SLOT);
  }

  /** Puts slots of `from` into the copy, to be written by `publish`. */
  stage(base: number, from: SlotBuffer, first: number, length: number): void {
    this.reach(base + length);
    from.bytes.copy(this.#copy.bytes, base * SLOT, first * SLOT, (first + length) * SLOT);
    this.#staged.set(base, length);
  }

  /** Writes a run of the copy again. */
  restage(base: number, length: number): void {
    this.#staged.set(base, length);
  }

  /** The extent will not be used after all. */
  unstage({ base, count }: Extent): void {
    this.#staged.delete(base);
    this.#staged.delete(base + count);
  }

  /** Writes what is staged: no packet reads these slots before a frontend names them. */
  publish(): void {
    for (const [base, length] of this.#staged) {
      this.#copy.bytes.copy(this.#view, base * SLOT, base * SLOT, (base + length) * SLOT);
      this.#written.rows += length;
      this.#written.bytes += length * SLOT;
    }
    this.#staged.clear();
  }

  /** Empties a remembering slot: packets never read those, so at once. */
  forgetKept(slot: number): void {
    this.#copy.bytes.fill(0, slot * SLOT, (slot + 1) * SLOT);
    this.#copy.bytes.writeUInt16LE(BACKEND_KEPT, slot * SLOT + 18);
    this.#copy.bytes.copy(this.#view, slot * SLOT, slot * SLOT, (slot + 1) * SLOT);
    this.#written.rows++;
    this.#written.bytes += SLOT;
  }

  /** Empties the remembering slots of an extent that is given back. */
  eraseKept(extent: Extent): void {
    const from = (extent.base + extent.count) * SLOT;
    const to = (extent.base + extent.length) * SLOT;
    if (from === to) return;
    this.#copy.bytes.fill(0, from, to);
    this.#view.fill(0, from, to);
    this.#written.rows += extent.length - extent.count;
    this.#written.bytes += to - from;
  }

  /** @returns the slots of the run that differ in the kernel. */
  differing(base: number, length: number): number[] {
    const found: number[] = [];
    if (this.#equal(base, length)) return found;
    for (let slot = base; slot < base + length; slot++) if (!this.#equal(slot, 1)) found.push(slot);
    return found;
  }

  /** @returns the kernel's bytes of a slot. */
  actual(slot: number): Buffer {
    return Buffer.from(this.#view.subarray(slot * SLOT, (slot + 1) * SLOT));
  }

  #equal(base: number, length: number): boolean {
    const from = base * SLOT;
    const to = (base + length) * SLOT;
    return this.#view.compare(this.#copy.bytes, from, to, from, to) === 0;
  }
}
