/**
 * What must change for one ServicePort: which backends get ids, which extents can stay as they are,
 * which are laid out afresh. Nothing here reaches the kernel.
 */
import { BACKEND_KEPT } from '../../maps-schema/gen/codecs.ts';
import type { Backend, CompiledServicePort, ListName } from '../model/compiled.ts';
import { SluiceError } from '../model/errors.ts';
import { choiceSlots } from './choice.ts';
import { dsrBackendKeyOf, sourceRangeKeyOf, writeBackend } from './rows.ts';
import {
  backendIdOf,
  backendName,
  createSlotBuffer,
  endpointKey,
  SLOT,
  SLOT_WORDS,
  type SlotBuffer,
  sameEndpoint,
  sameSlots,
  setBackendId,
} from './slots.ts';
import type { Extent, PortState, Stores } from './state.ts';

export interface PortPlan {
  readonly port: PortState;
  /** Extent of each list that is in use; without one the list is empty. */
  cluster: Extent | undefined;
  local: Extent | undefined;
  /** Base that frontends name while both lists are empty: the extent that remembers ids; else 0. */
  emptyBase: number;
  /** Extents laid out for this plan. */
  readonly fresh: Extent[];
  /** Ids of backends that serve on without being selectable. */
  kept: ReadonlySet<number>;
  /** Keys of the desired source_ranges. */
  ranges: readonly string[];
  /** Keys of the desired dsr_backends. */
  direct: readonly string[];
}

const NONE: ReadonlyMap<string, number> = new Map();
const NO_RANGES: readonly string[] = [];
const NO_IDS: ReadonlySet<number> = new Set();

/** Ids given out for the plan being made. */
const newIds: number[] = [];

let scratch: SlotBuffer = createSlotBuffer(256);

export function emptyPlan(port: PortState): PortPlan {
  return {
    port,
    cluster: undefined,
    local: undefined,
    emptyBase: 0,
    fresh: [],
    kept: NO_IDS,
    ranges: NO_RANGES,
    direct: NO_RANGES,
  };
}

/** Gives back what a plan took: none of it is published yet. */
function abandon(stores: Stores, plan: PortPlan): void {
  for (const id of newIds) stores.backends.unacquire(id);
  for (const extent of plan.fresh) {
    stores.slots.unstage(extent);
    stores.extents.release(extent.base, extent.length);
  }
  plan.fresh.length = 0;
}

/**
 * Plans one ServicePort.
 * @throws SluiceError MAP_FULL when there is no room for ids or slots, RangeError for a value that fits no field;
 *   nothing is taken then.
 */
export function planPort(stores: Stores, port: PortState): PortPlan {
  const plan = emptyPlan(port);
  const desired = port.desired;
  if (desired === undefined) return plan;
  newIds.length = 0;
  try {
    if (port.id === 0)
      port.id = stores.ids.acquire(port.name) ?? full(stores.servicePorts.name, stores.servicePorts.maxEntries);
    if (desired.sourceRanges.length > 0) {
      plan.ranges = [...new Set(desired.sourceRanges.map((range) => sourceRangeKeyOf(port.id, range)))];
    }
    if (desired.directBackends !== undefined) {
      plan.direct = desired.directBackends.map(({ address }) => dsrBackendKeyOf(port.id, address));
    }
    const { frontends, cluster, local } = usedLists(stores, port);
    if (frontends === 0) return plan;
    const used = [...(cluster ? (['cluster'] as const) : []), ...(local ? (['local'] as const) : [])];
    planExtents(stores, plan, desired, used);
    return plan;
  } catch (error) {
    abandon(stores, plan);
    throw error;
  }
}

/** Frontends that the port has of those that it asks for, and the lists that they lead to. */
export function usedLists(
  stores: Stores,
  port: PortState,
): { readonly frontends: number; readonly cluster: boolean; readonly local: boolean } {
  let cluster = false;
  let local = false;
  let frontends = 0;
  port.frontends.forEach((frontend, i) => {
    if (stores.claims.winner(port.keys[i] ?? '') !== port) return;
    frontends++;
    cluster ||= frontend.internal === 'cluster' || frontend.external === 'cluster';
    local ||= frontend.internal === 'local' || frontend.external === 'local';
  });
  return { frontends, cluster, local };
}

function planExtents(stores: Stores, plan: PortPlan, desired: CompiledServicePort, used: readonly ListName[]): void {
  const filled = used.filter((name) => desired.lists[name].length > 0);
  let end = 0;
  const runs = filled.map((name) => {
    const run = { name, first: end, count: desired.lists[name].length };
    end += run.count;
    return run;
  });
  reach(end);
  for (const run of runs) encode(desired.lists[run.name], run.first);
  const rest = assignIds(stores, plan, end, runs.length);
  const kept = keptBackends(stores, plan, desired, rest);

  const [first, second] = runs;
  if (first === undefined) {
    plan.emptyBase = kept.length === 0 ? 0 : place(stores, plan, 0, 0, kept).base;
    return;
  }
  const choice = (run: { readonly name: ListName }) =>
    choiceSlots(
      desired.algorithm,
      desired.lists[run.name],
      plan.port.name,
      2 * plan.port.id + (run.name === 'local' ? 1 : 0),
    );
  const extent = place(stores, plan, first.first, first.count, kept, choice(first));
  plan[first.name] = extent;
  if (second === undefined) return;
  const same = second.count === first.count && sameSlots(scratch, first.first, scratch, second.first, first.count);
  plan[second.name] = same ? extent : place(stores, plan, second.first, second.count, [], choice(second));
}

/** Encodes a list into scratch, ids still missing. */
function encode(list: readonly Backend[], first: number): void {
  for (let i = 0; i < list.length; i++) {
    const backend = list[i];
    if (backend !== undefined) writeBackend(scratch, first + i, backend);
  }
}

/**
 * Gives each of the first `end` slots of scratch its id: the one the backend has, else a new one.
 * @returns the port's other backends that have an id, by endpoint.
 */
function assignIds(stores: Stores, plan: PortPlan, end: number, lists: number): ReadonlyMap<string, number> {
  const { port } = plan;
  if (port.extents.length === 0 && lists === 1) {
    for (let slot = 0; slot < end; slot++) setBackendId(scratch, slot, newId(stores, port, endpointKey(scratch, slot)));
    return NONE;
  }
  const only = port.extents.length === 1 ? port.extents[0] : undefined;
  if (only !== undefined && only.count === end && only.length === end && copyIds(stores, only, end)) return NONE;

  const known = knownIds(stores, port);
  const rest = new Map(known);
  for (let slot = 0; slot < end; slot++) {
    const key = endpointKey(scratch, slot);
    let id = known.get(key);
    if (id === undefined) {
      id = newId(stores, port, key);
      known.set(key, id);
    } else {
      rest.delete(key);
      if (!stores.backends.isServing(id)) stores.backends.markServing(id);
    }
    setBackendId(scratch, slot, id);
  }
  return rest;
}

function newId(stores: Stores, port: PortState, endpoint: string): number {
  const id = stores.backends.acquire(backendName(port, endpoint)) ?? full('backend_states', stores.backends.maxEntries);
  newIds.push(id);
  return id;
}

/** Ids of the backends in the port's extents, by endpoint. */
function knownIds(stores: Stores, { extents }: PortState): Map<string, number> {
  const known = new Map<string, number>();
  const copy = stores.slots.copy;
  for (const { base, length } of extents) {
    for (let slot = base; slot < base + length; slot++) {
      const id = backendIdOf(copy, slot);
      if (id !== 0) known.set(endpointKey(copy, slot), id);
    }
  }
  return known;
}

/** The common case: the same endpoints in the same places. @returns whether it is. */
function copyIds(stores: Stores, extent: Extent, end: number): boolean {
  const copy = stores.slots.copy;
  for (let slot = 0; slot < end; slot++) {
    if (!sameEndpoint(scratch, slot, copy, extent.base + slot)) return false;
    const id = backendIdOf(copy, extent.base + slot);
    if (id === 0 || !stores.backends.isServing(id)) return false;
    setBackendId(scratch, slot, id);
  }
  return true;
}

/** @returns those of the backends with an id, but in no list, that still serve. */
function keptBackends(
  stores: Stores,
  plan: PortPlan,
  desired: CompiledServicePort,
  rest: ReadonlyMap<string, number>,
): Kept[] {
  const kept: Kept[] = [];
  if (rest.size === 0) return kept;
  const probe = createSlotBuffer(1);
  for (const backend of desired.serving) {
    writeBackend(probe, 0, backend);
    const id = rest.get(endpointKey(probe, 0));
    if (id === undefined) continue;
    kept.push({ backend, id });
    if (!stores.backends.isServing(id)) stores.backends.markServing(id);
  }
  plan.kept = new Set(kept.map(({ id }) => id));
  return kept;
}

interface Kept {
  readonly backend: Backend;
  readonly id: number;
}

/** Finds the extent that holds these slots already, or lays out a fresh one. */
function place(
  stores: Stores,
  plan: PortPlan,
  first: number,
  count: number,
  kept: readonly Kept[],
  choice?: SlotBuffer,
): Extent {
  const copy = stores.slots.copy;
  for (const extent of plan.port.extents) {
    if (extent.count !== count || !sameSlots(scratch, first, copy, extent.base, count)) continue;
    if (hasChoice(copy, extent, choice) && remembers(copy, extent, kept)) return extent;
  }
  const chosen = choice === undefined ? 0 : choice.words.length / SLOT_WORDS;
  const length = count + chosen + kept.length;
  const spare = stores.ledger.spareSlots(length, plan.port.essential);
  const base = stores.extents.allocate(length, spare) ?? full('backend_slots', stores.slots.maxEntries);
  const extent: Extent = { base, count, length, members: 'none' };
  plan.fresh.push(extent);
  if (count > 0) stores.slots.stage(base, scratch, first, count);
  if (length > count) stores.slots.stage(base + count, encodeRest(choice, chosen, kept), 0, length - count);
  return extent;
}

/** What stands behind the backends: how they are chosen, then those that are remembered. */
function encodeRest(choice: SlotBuffer | undefined, chosen: number, kept: readonly Kept[]): SlotBuffer {
  const slots = createSlotBuffer(chosen + kept.length);
  if (choice !== undefined) slots.words.set(choice.words);
  kept.forEach(({ backend, id }, i) => {
    writeBackend(slots, chosen + i, backend, BACKEND_KEPT);
    setBackendId(slots, chosen + i, id);
  });
  return slots;
}

/** Are the extent's backends chosen in this way? One that has a table may be read as one that has none. */
function hasChoice(copy: SlotBuffer, { base, count, length }: Extent, choice: SlotBuffer | undefined): boolean {
  if (choice === undefined) return true;
  const slots = choice.words.length / SLOT_WORDS;
  return count + slots <= length && sameSlots(choice, 0, copy, base + count, slots);
}

/** Does the extent remember the ids of all of these? */
function remembers(copy: SlotBuffer, extent: Extent, kept: readonly Kept[]): boolean {
  if (kept.length === 0) return true;
  const ids = new Set<number>();
  for (let slot = extent.base + extent.count; slot < extent.base + extent.length; slot++)
    ids.add(backendIdOf(copy, slot));
  return kept.every(({ id }) => ids.has(id));
}

function reach(slots: number): void {
  if (slots * SLOT <= scratch.bytes.length) return;
  const larger = createSlotBuffer(slots * 2);
  larger.words.set(scratch.words);
  scratch = larger;
}

function full(map: string, entries: number): never {
  throw new SluiceError(
    'MAP_FULL',
    `update map ${map}: all ${entries} entries are in use; what does not fit is not served: use fewer Services or endpoints on this cluster, or build with a larger maxEntries in maps-schema/schema.ts`,
  );
}
