/**
 * backend_states: ids of backends, their generations, and whether they serve. An id that is
 * given to another backend has another generation, so that flows to the one before are stale. A backend that
 * comes back finds its id and generation again: to sockets and flows that it still has it is the same.
 */
import { BACKEND_STATE_SERVING, backendState } from '../../maps-schema/gen/codecs.ts';
import type { KernelArray } from '../bpf/kernel-map.ts';
import { SluiceError } from '../model/errors.ts';
import { type Clock, GraceQueue } from './grace.ts';
import type { Written } from './state.ts';

/** Bytes of a state. */
const STATE = backendState.size;

/** Backends that are gone and remembered: more than a node's sockets and flows are likely to have lost at a time. */
export const REMEMBERED_BACKENDS = 16_384;

export class BackendStore {
  readonly #view: Buffer;
  readonly #written: Written;
  readonly #resting: GraceQueue<number>;
  readonly maxEntries: number;
  /** Generation and flags by id: what was written. */
  #copy = new Uint32Array(2048);
  #next = 1;
  /** Backends that are gone, by name, the oldest first. */
  readonly #gone = new Map<string, { readonly id: number; readonly due: number }>();
  /** Names of ids that came back and are not published yet. */
  readonly #returned = new Map<number, string>();
  readonly #now: Clock;
  readonly #graceMs: number;
  readonly #remember: number;
  /** Ids that were taken and never used. */
  readonly #spare: number[] = [];
  #added: number[] = [];
  #cleared: number[] = [];
  #live = 0;
  #stopped = 0;

  /** @param remember backends that are gone: when there are more, the oldest id is given to another. */
  constructor(array: KernelArray, written: Written, now: Clock, graceMs: number, remember: number) {
    if (array.stride !== STATE) {
      throw new SluiceError(
        'SCHEMA_MISMATCH',
        `map backend_states: rows of ${array.stride} bytes are pinned, ${STATE} are expected; run "sluice cleanup"`,
      );
    }
    this.#view = array.view;
    this.#written = written;
    this.#now = now;
    this.#graceMs = graceMs;
    this.#remember = remember;
    this.#resting = new GraceQueue(now, graceMs);
    this.maxEntries = array.shape.maxEntries;
  }

  /** Backends that have an id. */
  get live(): number {
    return this.#live;
  }

  generation(id: number): number {
    return this.#copy[2 * id] ?? 0;
  }

  isServing(id: number): boolean {
    return ((this.#copy[2 * id + 1] ?? 0) & BACKEND_STATE_SERVING) !== 0;
  }

  /**
   * Gives an id to a backend that serves: the one that it had before, if that is remembered.
   * @param name says which backend it is: its ServicePort, address and port
   * @returns undefined when all ids are in use or resting.
   */
  acquire(name: string): number | undefined {
    const before = this.#gone.get(name)?.id;
    const id = before ?? this.#unused();
    if (id === undefined) return undefined;
    if (before !== undefined) {
      this.#gone.delete(name);
      this.#returned.set(id, name);
    } else {
      this.#reach(id + 1);
      this.#copy[2 * id] = (this.generation(id) + 1) >>> 0;
    }
    this.#live++;
    this.markServing(id);
    return id;
  }

  #unused(): number | undefined {
    const id = this.#spare.pop() ?? this.#resting.take();
    if (id !== undefined) return id;
    if (this.#gone.size <= this.#remember && this.#next < this.maxEntries) return this.#next++;
    for (const [name, oldest] of this.#gone) {
      if (oldest.due > this.#now()) break;
      this.#gone.delete(name);
      return oldest.id;
    }
    return this.#next < this.maxEntries ? this.#next++ : undefined;
  }

  /** Gives back an id whose state was never published. */
  unacquire(id: number): void {
    this.#live--;
    this.#copy[2 * id + 1] = 0;
    const name = this.#returned.get(id);
    if (name !== undefined) {
      this.#returned.delete(id);
      this.#gone.set(name, { id, due: this.#now() });
      return;
    }
    this.#copy[2 * id] = (this.generation(id) - 1) >>> 0;
    this.#spare.push(id);
  }

  /** Stages the SERVING flag of an id in use. */
  markServing(id: number): void {
    this.#copy[2 * id + 1] = BACKEND_STATE_SERVING;
    this.#added.push(id);
  }

  /** The backend is gone: stages the removal of its flag; it is remembered, and the id rests before another gets it. */
  release(id: number, name: string): void {
    this.#live--;
    this.#copy[2 * id + 1] = 0;
    this.#cleared.push(id);
    this.#gone.set(name, { id, due: this.#now() + this.#graceMs });
  }

  /** Writes new backends. The generation goes first: until the flag follows, no flow is taken for valid. */
  publishAdded(): void {
    for (const id of this.#added) if (this.isServing(id)) this.#write(id);
    this.#added = [];
    this.#returned.clear();
  }

  /** Takes the flag of backends that are gone. */
  publishCleared(): void {
    for (const id of this.#cleared) this.#write(id);
    this.#stopped += this.#cleared.length;
    this.#cleared = [];
  }

  /** @returns how many backends lost their flag since the last call. */
  takeStopped(): number {
    const stopped = this.#stopped;
    this.#stopped = 0;
    return stopped;
  }

  /**
   * Reads the kernel's states. Ids that are not `used` rest, and lose their flag with the next
   * `publishCleared`.
   */
  adopt(used: (id: number) => boolean): void {
    let last = this.maxEntries - 1;
    const view = new Uint32Array(this.#view.buffer, this.#view.byteOffset, this.maxEntries * 2);
    while (last > 0 && view[2 * last] === 0 && view[2 * last + 1] === 0) last--;
    this.#reach(last + 1);
    this.#copy.set(view.subarray(0, 2 * (last + 1)));
    this.#next = last + 1;
    for (let id = 1; id <= last; id++) {
      if (used(id)) {
        this.#live++;
        continue;
      }
      this.#resting.push(id);
      if (this.#copy[2 * id + 1] !== 0) {
        this.#copy[2 * id + 1] = 0;
        this.#cleared.push(id);
      }
    }
  }

  /** @returns whether the kernel says that the backend serves. */
  isServingInKernel(id: number): boolean {
    return (this.#view.readUInt32LE(id * STATE + 4) & BACKEND_STATE_SERVING) !== 0;
  }

  /** One more than the highest id that was given out. */
  get end(): number {
    return this.#next;
  }

  /** @returns the ids from `first` to `end` (exclusive) whose state differs in the kernel. */
  differing(first: number, end: number): number[] {
    const expected = Buffer.from(this.#copy.buffer, 0, end * STATE);
    const equal = (from: number, to: number) => this.#view.compare(expected, from, to, from, to) === 0;
    const ids: number[] = [];
    if (equal(first * STATE, end * STATE)) return ids;
    for (let id = first; id < end; id++) if (!equal(id * STATE, (id + 1) * STATE)) ids.push(id);
    return ids;
  }

  /** Stages states to be written again. */
  restage(ids: readonly number[]): void {
    for (const id of ids) (this.isServing(id) ? this.#added : this.#cleared).push(id);
  }

  /** @returns the kernel's bytes of a state. */
  actual(id: number): Buffer {
    return Buffer.from(this.#view.subarray(id * STATE, (id + 1) * STATE));
  }

  #write(id: number): void {
    this.#view.writeUInt32LE(this.generation(id), id * STATE);
    this.#view.writeUInt32LE(this.#copy[2 * id + 1] ?? 0, id * STATE + 4);
    this.#written.rows++;
    this.#written.bytes += STATE;
  }

  #reach(ids: number): void {
    if (2 * ids <= this.#copy.length) return;
    const larger = new Uint32Array(Math.max(2 * ids, this.#copy.length * 2));
    larger.set(this.#copy);
    this.#copy = larger;
  }
}
