/**
 * backend_states: ids of backends, their generations, and whether they serve. An id that is
 * given to another backend has another generation, so that flows to the one before are stale.
 */
import { BACKEND_STATE_SERVING, backendState } from '../../maps-schema/gen/codecs.ts';
import type { KernelArray } from '../bpf/kernel-map.ts';
import { SluiceError } from '../model/errors.ts';
import { type Clock, GraceQueue } from './grace.ts';
import type { Written } from './state.ts';

/** Bytes of a state. */
const STATE = backendState.size;

export class BackendStore {
  readonly #view: Buffer;
  readonly #written: Written;
  readonly #resting: GraceQueue<number>;
  readonly maxEntries: number;
  /** Generation and flags by id: what was written. */
  #copy = new Uint32Array(2048);
  #next = 1;
  /** Ids that were taken and never used. */
  readonly #spare: number[] = [];
  #added: number[] = [];
  #cleared: number[] = [];
  #live = 0;
  #stopped = 0;

  constructor(array: KernelArray, written: Written, now: Clock, graceMs: number) {
    if (array.stride !== STATE) {
      throw new SluiceError(
        'SCHEMA_MISMATCH',
        `map backend_states: rows of ${array.stride} bytes are pinned, ${STATE} are expected; run "sluice cleanup"`,
      );
    }
    this.#view = array.view;
    this.#written = written;
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

  /** Gives an id to a backend that serves. @returns undefined when all ids are in use or resting. */
  acquire(): number | undefined {
    const id = this.#spare.pop() ?? this.#resting.take() ?? (this.#next < this.maxEntries ? this.#next++ : undefined);
    if (id === undefined) return undefined;
    this.#reach(id + 1);
    this.#copy[2 * id] = (this.generation(id) + 1) >>> 0;
    this.#live++;
    this.markServing(id);
    return id;
  }

  /** Gives back an id whose state was never published. */
  unacquire(id: number): void {
    this.#live--;
    this.#copy[2 * id] = (this.generation(id) - 1) >>> 0;
    this.#copy[2 * id + 1] = 0;
    this.#spare.push(id);
  }

  /** Stages the SERVING flag of an id in use. */
  markServing(id: number): void {
    this.#copy[2 * id + 1] = BACKEND_STATE_SERVING;
    this.#added.push(id);
  }

  /** The backend is gone: stages the removal of its flag; the id rests before it is given out again. */
  release(id: number): void {
    this.#live--;
    this.#copy[2 * id + 1] = 0;
    this.#cleared.push(id);
    this.#resting.push(id);
  }

  /** Writes new backends. The generation goes first: until the flag follows, no flow is taken for valid. */
  publishAdded(): void {
    for (const id of this.#added) if (this.isServing(id)) this.#write(id);
    this.#added = [];
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
