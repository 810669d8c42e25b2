/** Ids of ServicePorts. A name that comes back within the grace period finds its id again. */
import type { Clock } from './grace.ts';

export class ServicePortIds {
  readonly #now: Clock;
  readonly #graceMs: number;
  readonly #max: number;
  /** Ids whose grace is over. */
  readonly #free: number[] = [];
  /** Names that are gone, oldest first. */
  readonly #released = new Map<string, { readonly id: number; readonly due: number }>();
  #next = 1;

  /** @param max the largest id; 0 is never given out. */
  constructor(now: Clock, graceMs: number, max: number) {
    this.#now = now;
    this.#graceMs = graceMs;
    this.#max = max;
  }

  /** Clock value at which the oldest released id is due; undefined when none waits. */
  get nextDue(): number | undefined {
    return this.#released.values().next().value?.due;
  }

  /** @returns an id, or undefined when all are in use. */
  acquire(name: string): number | undefined {
    const released = this.#released.get(name);
    if (released !== undefined) {
      this.#released.delete(name);
      return released.id;
    }
    const free = this.#free.pop();
    if (free !== undefined) return free;
    return this.#next <= this.#max ? this.#next++ : undefined;
  }

  /** The ServicePort is gone: its id rests, then `expire` reports it. */
  release(name: string, id: number): void {
    this.#released.set(name, { id, due: this.#now() + this.#graceMs });
  }

  /** @returns the ids whose grace is over; they may be given out again from now on. */
  expire(): number[] {
    const expired: number[] = [];
    const now = this.#now();
    for (const [name, { id, due }] of this.#released) {
      if (due > now) break;
      this.#released.delete(name);
      this.#free.push(id);
      expired.push(id);
    }
    return expired;
  }

  /** Learns which ids the kernel's tables use; every other one below the largest is free. */
  adopt(used: ReadonlySet<number>): void {
    let largest = 0;
    for (const id of used) largest = Math.max(largest, id);
    for (let id = Math.min(largest, this.#max); id >= 1; id--) if (!used.has(id)) this.#free.push(id);
    this.#next = largest + 1;
  }
}
