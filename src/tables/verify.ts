/** Drift: where the kernel's maps differ from what was written to them. */
import { describeRow, describeSlot, describeState } from './describe.ts';
import type { RowDifference, RowTable } from './row-table.ts';
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

export function compareTables(stores: Stores): Drift[] {
  return findDrift(
    stores,
    () => {},
    () => {},
    () => {},
  );
}

/** Finds drift, and stages what puts it right. */
export function stageRepair(stores: Stores): Drift[] {
  return findDrift(
    stores,
    (table, { kind, key }) => (kind === 'unexpected' ? table.stageForeignDelete(key) : table.restage(key)),
    (slot) => stores.slots.restage(slot, 1),
    (id) => stores.backends.restage([id]),
  );
}

function findDrift(
  stores: Stores,
  onRow: (table: RowTable, difference: RowDifference) => void,
  onSlot: (slot: number) => void,
  onState: (id: number) => void,
): Drift[] {
  const drift: Drift[] = [];
  const { frontends, serviceAddresses, affinityMembers, sourceRanges, servicePorts } = stores;
  const { nodeAddresses, devices, podCidrs, serviceCidrs, peers, dsrBackends } = stores;
  const ofServices = [frontends, serviceAddresses, affinityMembers, sourceRanges, servicePorts];
  for (const table of [...ofServices, dsrBackends, nodeAddresses, peers, devices, podCidrs, serviceCidrs]) {
    for (const difference of table.compare()) {
      onRow(table, difference);
      const { kind, key, expected, actual } = difference;
      const text = describeRow(stores, table.name, key, expected, actual);
      drift.push({ map: table.name, kind, ...text, servicePort: table.owner(key)?.name ?? text.servicePort });
    }
  }
  for (const { name, extents } of stores.ports.values()) {
    for (const { base, length } of extents) {
      for (const slot of stores.slots.differing(base, length)) {
        onSlot(slot);
        drift.push({
          map: 'backend_slots',
          kind: 'different',
          row: `slot ${slot}`,
          servicePort: name,
          ...describeSlot(stores, slot),
        });
      }
    }
  }
  for (const id of stores.backends.differing()) {
    onState(id);
    drift.push({ map: 'backend_states', kind: 'different', row: `backend ${id}`, ...describeState(stores, id) });
  }
  return drift;
}
