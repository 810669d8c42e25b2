/** Finds the extents, and the ids of backends in them, that the kernel's frontends name. */
import { frontend } from '../../maps-schema/gen/codecs.ts';
import { backendIdOf, isKept, sameEndpoint } from './slots.ts';
import type { Extent, PortState, Range, Stores } from './state.ts';

interface Named {
  readonly port: PortState;
  readonly base: number;
  readonly count: number;
}

/** The port and a slot of each id that was found. */
type Owners = Map<number, { readonly port: PortState; readonly slot: number }>;

/** @returns ranges that frontends name in a way that makes no sense: overlapping, or with ids of others. */
export function* adoptExtents(stores: Stores): Generator<void, Range[]> {
  const named = yield* findNamed(stores);
  const owners: Owners = new Map();
  const sound: (Named & { readonly limit: number })[] = [];
  const unsound: Range[] = [];
  for (let at = 0; at < named.length; ) {
    yield;
    const group = overlapping(named, at);
    const [first] = group;
    at += group.length;
    if (first === undefined) break;
    const end = Math.max(...group.map(({ base, count }) => base + count));
    stores.slots.adopt(first.base, end - first.base);
    if (group.length === 1 && ownIds(stores, owners, first)) {
      sound.push({ ...first, limit: named[at]?.base ?? stores.slots.maxEntries });
    } else if (end > first.base) unsound.push({ base: first.base, length: end - first.base });
  }
  for (const extent of sound) {
    adoptExtent(stores, owners, extent);
    yield;
  }
  for (const { base, length } of unsound) stores.extents.reserve(base, length);
  stores.backends.adopt((id) => owners.has(id));
  return unsound;
}

/** @returns what frontends name, each once, by base. */
function* findNamed(stores: Stores): Generator<void, Named[]> {
  const named: Named[] = [];
  const max = stores.slots.maxEntries;
  for (const port of stores.ports.values()) {
    const seen = new Set<string>();
    const add = (base: number, count: number): void => {
      const text = `${base} ${count}`;
      if (seen.has(text) || base === 0 || base + count > max) return;
      seen.add(text);
      named.push({ port, base, count });
    };
    for (const key of port.rows) {
      const value = stores.frontends.value(key);
      if (value === undefined) continue;
      const { internalBase, internalCount, externalBase, externalCount } = frontend.read(value, 0);
      add(internalBase, internalCount);
      add(externalBase, externalCount);
    }
    yield;
  }
  return named.sort((a, b) => a.base - b.base || a.count - b.count);
}

/** @returns the run of extents from an index on that overlap with each other. */
function overlapping(named: readonly Named[], from: number): Named[] {
  const group: Named[] = [];
  let end = 0;
  for (let i = from; i < named.length; i++) {
    const next = named[i];
    if (next === undefined) break;
    if (i > from && next.base >= end && next.base !== group.at(-1)?.base) break;
    group.push(next);
    end = Math.max(end, next.base + next.count);
  }
  return group;
}

/** Notes the ids of an extent as the port's. @returns false when one is another's, or stands for another endpoint. */
function ownIds(stores: Stores, owners: Owners, { port, base, count }: Named): boolean {
  const copy = stores.slots.copy;
  for (let slot = base; slot < base + count; slot++) {
    const id = backendIdOf(copy, slot);
    const owner = owners.get(id);
    if (id === 0 || id >= stores.backends.maxEntries || isKept(copy, slot)) return false;
    if (owner !== undefined && (owner.port !== port || !sameEndpoint(copy, owner.slot, copy, slot))) return false;
  }
  for (let slot = base; slot < base + count; slot++) owners.set(backendIdOf(copy, slot), { port, slot });
  return true;
}

/** Takes an extent over, with the slots behind it that remember ids. */
function adoptExtent(
  stores: Stores,
  owners: Owners,
  { port, base, count, limit }: Named & { readonly limit: number },
): void {
  let end = base + count;
  for (; end < limit; end++) {
    stores.slots.adopt(end, 1);
    const copy = stores.slots.copy;
    if (!isKept(copy, end)) break;
    const id = backendIdOf(copy, end);
    if (id === 0) continue;
    const owner = owners.get(id);
    if (id >= stores.backends.maxEntries || !stores.backends.isServingInKernel(id)) break;
    if (owner !== undefined && (owner.port !== port || !sameEndpoint(copy, owner.slot, copy, end))) break;
    owners.set(id, { port, slot: end });
  }
  const length = end - base;
  if (length === 0 || !stores.extents.reserve(base, length)) return;
  const extent: Extent = { base, count, length, members: 'some' };
  port.extents.push(extent);
}
