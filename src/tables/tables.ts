/** The maps of the agent: desired and actual, and the least writes that lead from one to the other. */
import type { MapName } from '../../maps-schema/gen/codecs.ts';
import type { Problem } from '../model/compiled.ts';
import { AddressMarks } from './address-marks.ts';
import { adopt, type Leftovers, stageLeftovers } from './adopt.ts';
import { commit, expire } from './apply.ts';
import { BackendStore, REMEMBERED_BACKENDS } from './backends.ts';
import { Claims } from './claims.ts';
import { type Delta, Desired } from './desired.ts';
import { ExtentAllocator } from './extents.ts';
import { type Clock, GraceQueue } from './grace.ts';
import { ServicePortIds } from './ids.ts';
import { KnownAddresses } from './known-addresses.ts';
import { type NodeTables, stageNodeTables } from './node-tables.ts';
import { emptyPlan, type PortPlan, planPort } from './plan.ts';
import { ReservedPorts } from './reserved-ports.ts';
import { RowTable } from './row-table.ts';
import { SlotStore } from './slots.ts';
import type { AgentMaps, PortState, Stores, Written } from './state.ts';
import { type Drift, findDrift } from './verify.ts';

export interface TablesOptions {
  /** Milliseconds that only grow; default: performance.now. */
  readonly now?: Clock;
  /** Milliseconds before extents and ids that frontends no longer name are used again; default 1000. */
  readonly graceMs?: number;
  /** Backends that are gone and find their id again when they come back; default 16,384. */
  readonly remember?: number;
}

export interface ApplyResult {
  readonly written: Readonly<Written>;
  /** In force: Services, frontends and backends. */
  readonly services: number;
  readonly frontends: number;
  readonly backends: number;
  /** Backends that served before this call and serve no more. */
  readonly stopped: number;
  /** Services that could not be written; the next apply tries them again. */
  readonly failed: readonly Problem[];
  /** What is wrong with the objects, e.g. an address that an older Service has. */
  readonly problems: readonly Problem[];
}

export interface Tables {
  /**
   * Takes a delta of compiled Services in and writes the least difference, in the order of apply.ts.
   * Until the first call with `complete`, which says that `changed` is everything there is, nothing is
   * written; that call also removes whatever else the maps hold. Never throws for a full map.
   */
  apply(delta: Delta, options?: { readonly complete?: boolean }): ApplyResult;
  /** Writes the least difference to the node's tables. @throws SluiceError MAP_FULL or MAP_FAILED; the other rows are written. */
  applyNodeTables(wanted: NodeTables): Readonly<Written>;
  /** Reuses what has rested long enough and removes the names of ids that are gone. apply() does so too. */
  expire(): void;
  /** Clock value at which `expire` has something to remove; undefined when it has not. */
  nextExpiry(): number | undefined;
  /** Rows in use of each map that the agent writes, as it knows them. */
  occupancy(): Readonly<Partial<Record<MapName, number>>>;
  /** Puts known_addresses right, in a fraction of a millisecond. @returns bytes that were not what they should have been */
  restoreKnown(): number;
  /** Compares the kernel's maps with what was written. */
  compare(): Drift[];
  /**
   * Compares and puts right, some rows a step, in the order of apply.ts; every step says how many rows it put
   * right. Changes may be applied between two steps. To be run to its end or closed by `return`.
   * @throws SluiceError after the last step when rows could not be written; the others are.
   */
  repair(): Generator<number, void>;
}

/**
 * Reads the maps as they are and takes over their ids and extents.
 * @throws SluiceError SCHEMA_MISMATCH when the maps have another layout
 */
export function createTables(maps: AgentMaps, options: TablesOptions = {}): Tables {
  const stores = createStores(maps, options);
  let leftovers: Leftovers | undefined = adopt(stores);
  const desired = new Desired(stores);
  /** Ports whose last write failed. */
  let retry = new Set<PortState>();
  /** Ports touched before the first complete apply. */
  let touched = new Set<PortState>();
  let ready = false;

  function apply(delta: Delta, { complete = false }: { readonly complete?: boolean } = {}): ApplyResult {
    resetWritten(stores.written);
    const problems = desired.merge(delta, complete, touched);
    ready ||= complete;
    if (!ready) return result([], problems);

    const failed: Failures = new Map();
    const onFailure = (owner: PortState | undefined, _table: string, error: unknown) => {
      if (owner !== undefined && !failed.has(owner)) failed.set(owner, error);
    };
    expire(stores, onFailure);
    for (const port of retry) touched.add(port);
    const plans = [...touched].map((port) => tryPlan(stores, port, onFailure));
    touched = new Set();
    const found = leftovers;
    if (found !== undefined) {
      stores.addressMarks.touchAll(stores);
      stores.reservedPorts.touchAll();
    }
    commit(stores, plans, failed, onFailure, found && (() => stageLeftovers(stores, found)));
    leftovers = undefined;
    retry = new Set(failed.keys());
    return result(describeFailures(failed), problems);
  }

  function result(failed: Problem[], problems: Problem[]): ApplyResult {
    return {
      written: { ...stores.written },
      services: ready ? desired.size - failed.length : 0,
      frontends: stores.frontends.size,
      backends: stores.backends.live,
      stopped: stores.backends.takeStopped(),
      failed,
      problems,
    };
  }

  function applyNodeTables(wanted: NodeTables): Written {
    resetWritten(stores.written);
    const errors: unknown[] = [];
    stageNodeTables(stores, wanted);
    commit(stores, [], new Map(), (_owner, _table, error) => errors.push(error));
    if (errors.length > 0) throw errors[0];
    return { ...stores.written };
  }

  function* repair(): Generator<number, void> {
    if (!ready) return;
    const errors: unknown[] = [];
    let staged = 0;
    const putRight = (): number => {
      const rows = staged;
      staged = 0;
      if (rows > 0) commit(stores, [], new Map(), (_owner, _table, error) => errors.push(error));
      return rows;
    };
    try {
      for (const finding of findDrift(stores)) {
        if (finding === undefined) {
          yield putRight();
          continue;
        }
        finding.stage();
        staged++;
      }
      yield putRight();
    } finally {
      // A map that could not be read leaves nothing staged for the next change to stumble over.
      putRight();
    }
    if (errors.length > 0) throw errors[0];
  }

  return {
    apply,
    applyNodeTables,
    expire: () => expire(stores, ignore),
    nextExpiry: () => stores.ids.nextDue,
    occupancy: () => ({
      frontends: stores.frontends.size,
      serviceAddresses: stores.serviceAddresses.size,
      backendSlots: stores.slots.maxEntries - 1 - stores.extents.free,
      backendStates: stores.backends.live,
      servicePorts: stores.servicePorts.size,
      affinityMembers: stores.affinityMembers.size,
      sourceRanges: stores.sourceRanges.size,
      nodeAddresses: stores.nodeAddresses.size,
      devices: stores.devices.size,
      podCidrs: stores.podCidrs.size,
      peers: stores.peers.size,
      dsrBackends: stores.dsrBackends.size,
      serviceCidrs: stores.serviceCidrs.size,
      socketOptOuts: stores.socketOptOuts.size,
    }),
    restoreKnown: () => stores.known.restore(),
    compare: () => (ready ? [...findDrift(stores)].flatMap((finding) => finding?.describe() ?? []) : []),
    repair,
  };
}

function createStores(maps: AgentMaps, options: TablesOptions): Stores {
  const now = options.now ?? (() => performance.now());
  const graceMs = options.graceMs ?? 1000;
  const written: Written = { rows: 0, bytes: 0, deletes: 0 };
  const known = new KnownAddresses(maps.knownAddresses);
  const makeKnown = (key: string) => known.add(key);
  return {
    known,
    frontends: new RowTable(maps.frontends, written, (key) => known.addPort(key)),
    serviceAddresses: new RowTable(maps.serviceAddresses, written, makeKnown),
    affinityMembers: new RowTable(maps.affinityMembers, written),
    sourceRanges: new RowTable(maps.sourceRanges, written),
    servicePorts: new RowTable(maps.servicePorts, written),
    nodeAddresses: new RowTable(maps.nodeAddresses, written, makeKnown),
    devices: new RowTable(maps.devices, written),
    podCidrs: new RowTable(maps.podCidrs, written),
    peers: new RowTable(maps.peers, written),
    dsrBackends: new RowTable(maps.dsrBackends, written),
    serviceCidrs: new RowTable(maps.serviceCidrs, written),
    socketOptOuts: new RowTable(maps.socketOptOuts, written),
    reservedPorts: new ReservedPorts(maps.reservedPorts, written),
    slots: new SlotStore(maps.backendSlots, written),
    backends: new BackendStore(maps.backendStates, written, now, graceMs, options.remember ?? REMEMBERED_BACKENDS),
    extents: new ExtentAllocator(maps.backendSlots.shape.maxEntries),
    resting: new GraceQueue(now, graceMs),
    ids: new ServicePortIds(now, graceMs, maps.servicePorts.shape.maxEntries),
    claims: new Claims(),
    addressMarks: new AddressMarks(),
    ports: new Map(),
    written,
  };
}

function resetWritten(written: Written): void {
  written.rows = 0;
  written.bytes = 0;
  written.deletes = 0;
}

function tryPlan(
  stores: Stores,
  port: PortState,
  onFailure: (owner: PortState, table: string, error: unknown) => void,
): PortPlan {
  try {
    return planPort(stores, port);
  } catch (error) {
    onFailure(port, '', error);
    return emptyPlan(port);
  }
}

/** Why a port could not be written. */
type Failures = Map<PortState, unknown>;

/** One problem a Service; the errors say what to do. */
function describeFailures(failed: Failures): Problem[] {
  const byService = new Map<string, Problem>();
  for (const [port, error] of failed) {
    if (byService.has(port.service)) continue;
    const [namespace = '', name = ''] = port.service.split('/');
    const message = error instanceof Error ? error.message : String(error);
    byService.set(port.service, { kind: 'Service', namespace, name, field: 'spec', message });
  }
  return [...byService.values()];
}

function ignore(): void {}
