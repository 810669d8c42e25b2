/** Things that packets in flight may still name: they are given out again only after a while. */

/** Milliseconds that only grow. */
export type Clock = () => number;

export class GraceQueue<T> {
  readonly #now: Clock;
  readonly #graceMs: number;
  #items: T[] = [];
  #due: number[] = [];
  #head = 0;

  constructor(now: Clock, graceMs: number) {
    this.#now = now;
    this.#graceMs = graceMs;
  }

  get size(): number {
    return this.#items.length - this.#head;
  }

  /** Clock value at which the oldest item is due; undefined when nothing waits. */
  get next(): number | undefined {
    return this.#due[this.#head];
  }

  push(item: T): void {
    this.#items.push(item);
    this.#due.push(this.#now() + this.#graceMs);
  }

  /** Takes the oldest item when its grace is over. */
  take(): T | undefined {
    const due = this.next;
    if (due === undefined || due > this.#now()) return undefined;
    const item = this.#items[this.#head++];
    if (this.#head === this.#items.length) {
      this.#items = [];
      this.#due = [];
      this.#head = 0;
    } else if (this.#head > 1024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#due = this.#due.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}
