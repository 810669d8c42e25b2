/** What a write changed in the kernel, ServicePort by ServicePort: the history is made of it. */
import { frontend } from '../../maps-schema/gen/codecs.ts';
import type { PortChange } from '../model/history.ts';
import { changeOf, type PortBytes, pictureOf, sameBytes } from './picture.ts';
import { SLOT } from './slots.ts';
import type { PortState, Stores } from './state.ts';

/** Rows of ports before a write. */
export type Before = ReadonlyMap<PortState, PortBytes>;

/** Ports that are looked at in a step. */
const STEP_PORTS = 64;

/** @returns copies of the rows of each port; some ports a step. */
export function* picturesOf(stores: Stores, ports: readonly PortState[]): Generator<void, Before> {
  const before = new Map<PortState, PortBytes>();
  for (const port of ports) {
    before.set(port, copyOf(stores, port));
    if (before.size % STEP_PORTS === 0) yield;
  }
  return before;
}

/** @returns what is different now, in the order of the ports' names; some ports a step. Ports whose write failed are as they were. */
export function* changesSince(stores: Stores, before: Before): Generator<void, PortChange[]> {
  const changes: PortChange[] = [];
  let seen = 0;
  for (const [port, was] of [...before].sort(([a], [b]) => (a.name < b.name ? -1 : 1))) {
    if (++seen % STEP_PORTS === 0) yield;
    const is = copyOf(stores, port);
    if (sameBytes(was, is)) continue;
    const change = changeOf(port.name, pictureOf(was), pictureOf(is));
    if (change !== undefined) changes.push(change);
  }
  return changes;
}

function copyOf({ frontends, slots }: Stores, { rows, extents }: PortState): PortBytes {
  const keys = rows.filter((key) => frontends.value(key) !== undefined);
  const values = Buffer.alloc(keys.length * frontend.size);
  keys.forEach((key, i) => {
    frontends.value(key)?.copy(values, i * frontend.size);
  });
  return {
    keys,
    values,
    extents: extents.map(({ base, count, length }) => ({
      base,
      count,
      slots: Buffer.from(slots.copy.bytes.subarray(base * SLOT, (base + length) * SLOT)),
    })),
  };
}
