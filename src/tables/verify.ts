/** Drift: where the kernel's maps differ from what was written to them. Found step by step. */
import { describeRow, describeSlot, describeState } from './describe.ts';
import { type RowDifference, type RowTable, STEP_ROWS } from './row-table.ts';
import type { Stores } from './state.ts';

/** One row that differs, as text for people. */
export interface Drift {
  /** Name of the map. */
  readonly map: string;
  readonly kind: 'missing' | 'unexpected' | 'different';
  /** The key, e.g. `10.96.0.10:53/UDP`. */
  readonly row: string;
  /** servicePortName() of the ServicePort it belongs to, where there is one. */
  readonly servicePort: string | undefined;
  readonly expected: string | undefined;
  readonly actual: string | undefined;
}

/** One row that differs. */
export interface Finding {
  describe(): Drift;
  /** Stages what puts it right. */
  stage(): void;
}

/** Backend states compared in a step: bytes in a row, so more than other rows. */
const STEP_STATES = 4096;

/**
 * Looks for drift a few rows at a time: undefined ends a step, and only then may the tables be written. What was
 * read before is never held against what was written since. In the order of apply.ts, so that a frontend that is
 * put back finds what it leads to.
 */
export function* findDrift(stores: Stores): Generator<Finding | undefined, void> {
  const { frontends, serviceAddresses, affinityMembers, sourceRanges, servicePorts } = stores;
  const { nodeAddresses, devices, podCidrs, serviceCidrs, peers, dsrBackends, socketOptOuts } = stores;
  yield* findStates(stores);
  yield* findSlots(stores);
  yield* findReservedPorts(stores);
  const ofServices = [affinityMembers, sourceRanges, servicePorts, dsrBackends];
  const ofNode = [nodeAddresses, peers, devices, podCidrs, serviceCidrs, socketOptOuts];
  for (const table of [...ofServices, ...ofNode, frontends, serviceAddresses]) yield* findRows(stores, table);
}

function* findRows(stores: Stores, table: RowTable): Generator<Finding | undefined, void> {
  for (const difference of table.compare()) yield difference && rowFinding(stores, table, difference);
}

function rowFinding(stores: Stores, table: RowTable, { kind, key, expected, actual }: RowDifference): Finding {
  return {
    describe() {
      const text = describeRow(stores, table.name, key, expected, actual);
      return { map: table.name, kind, ...text, servicePort: table.owner(key)?.name ?? text.servicePort };
    },
    stage: () => (kind === 'unexpected' ? table.stageForeignDelete(key) : table.restage(key)),
  };
}

function* findSlots(stores: Stores): Generator<Finding | undefined, void> {
  const { slots } = stores;
  let compared = 0;
  for (const { name, extents } of stores.ports.values()) {
    for (const { base, length } of extents) {
      for (const slot of slots.differing(base, length)) yield slotFinding(stores, name, slot);
      compared += 1 + length / STEP_ROWS;
    }
    // Not between two extents: with the next change they may be others.
    if (compared < STEP_ROWS) continue;
    compared = 0;
    yield undefined;
  }
}

function slotFinding(stores: Stores, servicePort: string, slot: number): Finding {
  const row = `slot ${slot}`;
  return {
    describe: () => ({ map: 'backend_slots', kind: 'different', row, servicePort, ...describeSlot(stores, slot) }),
    stage: () => stores.slots.restage(slot, 1),
  };
}

function* findStates(stores: Stores): Generator<Finding | undefined, void> {
  const { backends } = stores;
  for (let first = 0; first < backends.end; first += STEP_STATES) {
    for (const id of backends.differing(first, Math.min(first + STEP_STATES, backends.end))) {
      const row = `backend ${id}`;
      yield {
        describe: () => ({ map: 'backend_states', kind: 'different', row, ...describeState(stores, id) }),
        stage: () => backends.restage([id]),
      };
    }
    yield undefined;
  }
}

function* findReservedPorts({ reservedPorts }: Stores): Generator<Finding | undefined, void> {
  for (const word of reservedPorts.differing()) {
    const text = reservedPorts.describe(word);
    yield {
      describe: () => ({ map: 'reserved_ports', kind: 'different', servicePort: undefined, ...text }),
      stage: () => reservedPorts.restage(word),
    };
  }
  yield undefined;
}
