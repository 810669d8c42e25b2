/** Rows of `sluice backend list`: what the extents of a ServicePort's frontends hold. */
import {
  BACKEND_KEPT,
  BACKEND_LOCAL,
  BACKEND_STATE_SERVING,
  BACKEND_TERMINATING,
  type BackendSlot,
  backendSlot,
  backendState,
} from '../../../maps-schema/gen/codecs.ts';
import type { KernelArray } from '../../bpf/kernel-map.ts';
import { compareBy, endpoint } from '../format.ts';
import type { Extent, FrontendRow } from './frontends.ts';
import type { ServicePortName } from './names.ts';
import { elementOf } from './rows.ts';

type Slots = Pick<KernelArray, 'view' | 'stride'>;

/**
 * `serving`; `terminating`: serves while it goes; `kept`: gets no new flow, but those it has go on;
 * `stale`: an extent names it, yet its flows are to end (seen only while the agent writes).
 */
export type BackendState = 'serving' | 'terminating' | 'kept' | 'stale';

export interface BackendRow extends ServicePortName {
  readonly protocol: string;
  readonly address: string;
  readonly backendPort: number;
  readonly state: BackendState;
  /** On this node. */
  readonly local: boolean;
  /** For whom new flows may be given to it: clients inside the cluster, clients outside. */
  readonly lists: readonly ('internal' | 'external')[];
  readonly backendId: number;
  readonly servicePortId: number;
}

/** What `-l` can choose by. */
export const BACKEND_FIELDS = [
  'namespace',
  'name',
  'port',
  'protocol',
  'address',
  'backendPort',
  'state',
  'local',
  'lists',
  'backendId',
  'servicePortId',
] as const satisfies readonly (keyof BackendRow)[];

interface Found {
  readonly slot: BackendSlot;
  internal: boolean;
  external: boolean;
}

/**
 * @param frontends all of them: where an extent ends is known by where the next begins.
 * @param wanted which ServicePorts to show.
 */
export function* readBackends(
  frontends: readonly FrontendRow[],
  slots: Slots,
  states: Slots,
  wanted: (service: ServicePortName) => boolean = () => true,
): Generator<BackendRow> {
  const bases = new Set(frontends.flatMap((row) => [row.internal.base, row.external.base]));
  const byPort = new Map<number, FrontendRow[]>();
  for (const row of frontends) {
    if (!wanted(row)) continue;
    const group = byPort.get(row.servicePortId);
    if (group === undefined) byPort.set(row.servicePortId, [row]);
    else group.push(row);
  }
  for (const group of byPort.values()) yield* backendsOf(group, slots, states, bases);
}

function* backendsOf(
  group: readonly FrontendRow[],
  slots: Slots,
  states: Slots,
  bases: ReadonlySet<number>,
): Generator<BackendRow> {
  const found = new Map<number, Found>();
  const add = (slot: BackendSlot, list: 'internal' | 'external' | undefined) => {
    const known = found.get(slot.backendId) ?? { slot, internal: false, external: false };
    if (list !== undefined) known[list] = true;
    found.set(slot.backendId, known);
  };
  // Clients outside reach a ClusterIP seldom: what counts for them are the other addresses, where there are any.
  const outside = group.filter((row) => row.types.some((type) => type !== 'ClusterIP'));
  for (const row of group) for (const slot of read(slots, row.internal)) add(slot, 'internal');
  for (const row of outside.length > 0 ? outside : group) {
    for (const slot of read(slots, row.external)) add(slot, 'external');
  }
  for (const row of group) {
    for (const slot of [
      ...read(slots, row.external),
      ...readKept(slots, row.internal, bases),
      ...readKept(slots, row.external, bases),
    ]) {
      add(slot, undefined);
    }
  }
  const [{ namespace, name, port, protocol, servicePortId }] = group as [FrontendRow];
  for (const { slot, internal, external } of found.values()) {
    yield {
      namespace,
      name,
      port,
      protocol,
      address: slot.address,
      backendPort: slot.port,
      state: stateOf(slot, states, internal || external),
      local: (slot.flags & BACKEND_LOCAL) !== 0,
      lists: [...(internal ? (['internal'] as const) : []), ...(external ? (['external'] as const) : [])],
      backendId: slot.backendId,
      servicePortId,
    };
  }
}

function* read(slots: Slots, extent: Extent): Generator<BackendSlot> {
  for (let i = 0; i < extent.count; i++) {
    const slot = elementOf(slots, backendSlot, extent.base + i);
    if (slot !== undefined && slot.backendId !== 0) yield slot;
  }
}

/** Slots past an extent's count that remember backends. */
function* readKept(slots: Slots, extent: Extent, bases: ReadonlySet<number>): Generator<BackendSlot> {
  for (let at = extent.base + extent.count; at === extent.base || !bases.has(at); at++) {
    const slot = at === 0 ? undefined : elementOf(slots, backendSlot, at);
    if (slot === undefined || (slot.flags & BACKEND_KEPT) === 0) return;
    if (slot.backendId !== 0) yield slot;
  }
}

function stateOf(slot: BackendSlot, states: Slots, listed: boolean): BackendState {
  const state = elementOf(states, backendState, slot.backendId);
  if (state === undefined || (state.flags & BACKEND_STATE_SERVING) === 0) return 'stale';
  if (!listed) return 'kept';
  return (slot.flags & BACKEND_TERMINATING) !== 0 ? 'terminating' : 'serving';
}

/** By Service, port and address. */
export const compareBackends = compareBy<BackendRow>(
  (row) => row.namespace,
  (row) => row.name,
  (row) => row.port,
  (row) => row.protocol,
  (row) => endpoint(row.address, row.backendPort),
  (row) => row.servicePortId,
);
