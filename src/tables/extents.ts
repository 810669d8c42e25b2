/** Contiguous runs of backend_slots: first fit over free ranges that are kept sorted and merged. */

export class ExtentAllocator {
  /** Free ranges, sorted by base, never adjacent. */
  readonly #bases: number[] = [];
  readonly #lengths: number[] = [];
  #free: number;

  /** Slot 0 is never given out: base 0 says "no extent". */
  constructor(slots: number) {
    this.#bases.push(1);
    this.#lengths.push(slots - 1);
    this.#free = slots - 1;
  }

  /** Slots that are free. */
  get free(): number {
    return this.#free;
  }

  /**
   * @param spare slots that must stay free.
   * @returns the first slot of a run of `length` (≥ 1) slots, or undefined when no run is long enough.
   */
  allocate(length: number, spare = 0): number | undefined {
    if (this.#free - length < spare) return undefined;
    const at = this.#lengths.findIndex((free) => free >= length);
    const base = this.#bases[at];
    if (base === undefined) return undefined;
    this.#cut(at, base, length);
    return base;
  }

  /**
   * Takes a given run, as found in the kernel.
   * @returns false, and takes nothing, when a part of it is taken or lies outside.
   */
  reserve(base: number, length: number): boolean {
    const at = this.#rangeBefore(base);
    const start = this.#bases[at];
    const free = this.#lengths[at];
    if (start === undefined || free === undefined || base + length > start + free) return false;
    this.#cut(at, base, length);
    return true;
  }

  /** Gives a run back; it must have been taken. */
  release(base: number, length: number): void {
    this.#free += length;
    const before = this.#rangeBefore(base);
    let at = before + 1;
    const beforeBase = this.#bases[before];
    const beforeLength = this.#lengths[before];
    if (beforeBase !== undefined && beforeLength !== undefined && beforeBase + beforeLength === base) {
      at = before;
      this.#lengths[at] = beforeLength + length;
    } else {
      this.#bases.splice(at, 0, base);
      this.#lengths.splice(at, 0, length);
    }
    const end = (this.#bases[at] ?? 0) + (this.#lengths[at] ?? 0);
    if (this.#bases[at + 1] === end) {
      this.#lengths[at] = (this.#lengths[at] ?? 0) + (this.#lengths[at + 1] ?? 0);
      this.#bases.splice(at + 1, 1);
      this.#lengths.splice(at + 1, 1);
    }
  }

  /** Index of the last free range that starts at or before the slot; -1 when there is none. */
  #rangeBefore(slot: number): number {
    let low = 0;
    let high = this.#bases.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#bases[middle] ?? 0) <= slot) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** Cuts a run out of the free range at an index: it must lie within. */
  #cut(at: number, base: number, length: number): void {
    this.#free -= length;
    const start = this.#bases[at] ?? 0;
    const end = start + (this.#lengths[at] ?? 0);
    const parts: [number, number][] = [];
    if (base > start) parts.push([start, base - start]);
    if (base + length < end) parts.push([base + length, end - base - length]);
    const first = parts[0];
    if (parts.length === 1 && first !== undefined) {
      this.#bases[at] = first[0];
      this.#lengths[at] = first[1];
      return;
    }
    this.#bases.splice(at, 1, ...parts.map(([b]) => b));
    this.#lengths.splice(at, 1, ...parts.map(([, l]) => l));
  }
}
