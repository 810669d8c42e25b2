/** After the frontends are written: what no frontend of a ServicePort names any more is let go. */
import { exact } from '../model/exact.ts';
import type { PortPlan } from './plan.ts';
import type { RowTable } from './row-table.ts';
import { affinityMemberKeyOf, FRONTEND_EXTERNAL_BASE, FRONTEND_INTERNAL_BASE } from './rows.ts';
import { backendIdOf, backendName, endpointKey } from './slots.ts';
import type { Extent, PortState, Stores } from './state.ts';

/**
 * Brings the port's state in line with the rows that the kernel now has, and stages the removals:
 * SERVING flags, members, source ranges. Extents and ids rest before they are reused.
 * @param failed the plan was not (wholly) written: what the old rows name stays.
 */
export function settle(stores: Stores, plan: PortPlan, failed: boolean): void {
  const { port } = plan;
  port.rows = ownRows(stores, port);
  const staying: Extent[] = [];
  const going: Extent[] = [];
  for (const extent of port.extents) (isNamed(stores, port, extent.base) ? staying : going).push(extent);
  for (const extent of plan.fresh) (isNamed(stores, port, extent.base) ? staying : going).push(extent);
  port.extents = exact(staying);

  releaseBackends(stores, plan, staying, going, failed);
  for (const extent of going) {
    if (extent.members !== 'none') stageMemberDeletes(stores, extent);
    stores.slots.eraseKept(extent);
    stores.resting.push({ base: extent.base, length: extent.length });
  }
  const affinity = (port.desired?.affinitySeconds ?? 0) > 0;
  for (const extent of staying) {
    if (extent.members === 'none') continue;
    if (failed) extent.members = 'some';
    else if (!affinity) {
      stageMemberDeletes(stores, extent);
      extent.members = 'none';
    }
  }
  port.ranges = settleKeys(stores.sourceRanges, port.ranges, plan.ranges, failed);
  port.direct = settleKeys(stores.dsrBackends, port.direct, plan.direct, failed);
  if (port.desired === undefined && port.rows.length === 0) {
    if (port.id !== 0) stores.ids.release(port.name, port.id);
    stores.ports.delete(port.name);
    stores.ledger.release(port);
  }
}

function ownRows(stores: Stores, port: PortState): string[] {
  const rows = port.rows.filter((key) => stores.frontends.owner(key) === port);
  for (const key of port.keys) if (!rows.includes(key) && stores.frontends.owner(key) === port) rows.push(key);
  return exact(rows);
}

function isNamed({ frontends }: Stores, { rows }: PortState, base: number): boolean {
  for (const key of rows) {
    if (frontends.field(key, FRONTEND_INTERNAL_BASE) === base) return true;
    if (frontends.field(key, FRONTEND_EXTERNAL_BASE) === base) return true;
  }
  return false;
}

/** Backends that are in no extent that stays, nor serve on, lose their flag and their id. */
function releaseBackends(
  stores: Stores,
  plan: PortPlan,
  staying: readonly Extent[],
  going: readonly Extent[],
  failed: boolean,
): void {
  const remembering = staying.some(({ count, length }) => length > count);
  if (going.length === 0 && !remembering) return;
  const copy = stores.slots.copy;
  const selectable = new Set<number>();
  for (const { base, count } of staying)
    for (let slot = base; slot < base + count; slot++) selectable.add(backendIdOf(copy, slot));

  const alive = new Set(selectable);
  /** Their names by id. */
  const gone = new Map<number, string>();
  const note = (id: number, slot: number) => gone.set(id, backendName(plan.port, endpointKey(copy, slot)));
  for (const { base, count, length } of staying) {
    for (let slot = base + count; slot < base + length; slot++) {
      const id = backendIdOf(copy, slot);
      if (id === 0) continue;
      if (failed || (plan.kept.has(id) && !selectable.has(id))) alive.add(id);
      else {
        note(id, slot);
        stores.slots.forgetKept(slot);
      }
    }
  }
  for (const { base, length } of going)
    for (let slot = base; slot < base + length; slot++) {
      const id = backendIdOf(copy, slot);
      if (id !== 0) note(id, slot);
    }
  for (const [id, name] of gone) if (!alive.has(id)) stores.backends.release(id, name);
}

function stageMemberDeletes(stores: Stores, { base, count }: Extent): void {
  const copy = stores.slots.copy;
  for (let slot = base; slot < base + count; slot++)
    stores.affinityMembers.stageDelete(affinityMemberKeyOf(base, backendIdOf(copy, slot)));
}

/** Stages the removal of rows that are wanted no more. @returns the keys that the port has from now on. */
function settleKeys(table: RowTable, before: readonly string[], wanted: readonly string[], failed: boolean): string[] {
  if (before.length === 0 && wanted.length === 0) return [];
  if (failed) return [...new Set([...before, ...wanted])];
  const keys = new Set(wanted);
  for (const key of before) if (!keys.has(key)) table.stageDelete(key);
  return [...wanted];
}
