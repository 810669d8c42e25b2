/** The maps of the agent: desired and actual, and the least writes that lead from one to the other. */
import type { MapName } from '../../maps-schema/gen/codecs.ts';
import { type Budgets, isEssential } from '../model/budgets.ts';
import type { Problem } from '../model/compiled.ts';
import type { PortChange } from '../model/history.ts';
import { atOnce } from '../model/steps.ts';
import { AddressMarks } from './address-marks.ts';
import { adopt, type Leftovers, stageLeftovers } from './adopt.ts';
import { commit, commitStaged, expire } from './apply.ts';
import { BackendStore, REMEMBERED_BACKENDS } from './backends.ts';
import { changesSince, picturesOf } from './changes.ts';
import { Claims } from './claims.ts';
import { type Delta, Desired } from './desired.ts';
import { ExtentAllocator } from './extents.ts';
import { type Clock, GraceQueue } from './grace.ts';
import { ServicePortIds } from './ids.ts';
import { KnownAddresses } from './known-addresses.ts';
import { costOf, Ledger } from './ledger.ts';
import { type NodeTables, stageNodeTables } from './node-tables.ts';
import { emptyPlan, type PortPlan, planPort, usedLists } from './plan.ts';
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
  /** How much Services may use; default: there is no budget, and no room is kept. */
  readonly budgets?: Budgets;
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
  /** Rows that should be gone, and could not be deleted: the next apply tries them again. */
  readonly owed: number;
  /** Why one of them could not. */
  readonly whyOwed: string | undefined;
  /** Services that may not have what they want: they stay as they are until there is room. */
  readonly refused: readonly Problem[];
  /** What is wrong with the objects, e.g. an address that an older Service has. */
  readonly problems: readonly Problem[];
  /** What became another in the kernel; nothing for the first rows of all, of which everything is new. */
  readonly changes: readonly PortChange[];
}

export interface ApplyOptions {
  readonly complete?: boolean;
}

export interface Tables {
  /**
   * Takes a delta of compiled Services in and writes the least difference, in the order of apply.ts.
   * Until the first call with `complete`, which says that `changed` is everything there is, nothing is
   * written; that call also removes whatever else the maps hold. Never throws for a full map.
   */
  apply(delta: Delta, options?: ApplyOptions): ApplyResult;
  /** The same, in steps of some milliseconds at most, with rests of any length between. One at a time; to be run to its end. */
  applySteps(delta: Delta, options?: ApplyOptions): Generator<void, ApplyResult>;
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
  return atOnce(createTablesSteps(maps, options));
}

/** The same, in steps of some milliseconds at most; to be run to its end before anything else is written. */
export function* createTablesSteps(maps: AgentMaps, options: TablesOptions = {}): Generator<void, Tables> {
  const stores = createStores(maps, options);
  const leftovers = yield* adopt(stores);
  return createTablesOf(stores, leftovers);
}

function createTablesOf(stores: Stores, adopted: Leftovers): Tables {
  let leftovers: Leftovers | undefined = adopted;
  const desired = new Desired(stores);
  /** Ports whose last write failed. */
  let retry = new Set<PortState>();
  /** Why, by port that waits for room that others have. */
  const refused = new Map<PortState, string>();
  /** Ports touched before the first complete apply. */
  let touched = new Set<PortState>();
  let ready = false;
  /** A change is being written. */
  let applying = false;

  function* applySteps(delta: Delta, { complete = false }: ApplyOptions = {}): Generator<void, ApplyResult> {
    if (applying) throw new Error('a change is being written');
    applying = true;
    try {
      return yield* steps(delta, complete);
    } finally {
      applying = false;
    }
  }

  function* steps(delta: Delta, complete: boolean): Generator<void, ApplyResult> {
    resetWritten(stores.written);
    const problems = yield* desired.merge(delta, complete, touched);
    ready ||= complete;
    if (!ready) return result([], problems);

    const failed: Failures = new Map();
    const onFailure = (owner: PortState | undefined, _table: string, error: unknown) => {
      if (owner !== undefined && !failed.has(owner)) failed.set(owner, error);
    };
    expire(stores, onFailure);
    for (const port of retry) touched.add(port);
    // What goes makes room for what comes.
    for (const port of touched) if (port.desired === undefined) stores.ledger.release(port);
    if (stores.ledger.takeFreed()) for (const port of refused.keys()) touched.add(port);
    const ports = [...touched].sort(bySeniority);
    touched = new Set();
    const found = leftovers;
    if (found !== undefined) {
      stores.addressMarks.touchAll(stores);
      stores.reservedPorts.touchAll();
    }
    // That everything is new on a node without rows is no change.
    const fresh = found !== undefined && stores.frontends.size === 0;
    const before = yield* picturesOf(stores, fresh ? [] : ports);
    const plan = (port: PortState) => planWithin(port, onFailure);
    yield* commit(stores, ports, plan, failed, onFailure, found && (() => stageLeftovers(stores, found)));
    leftovers = undefined;
    retry = new Set([...failed.keys()].filter((port) => !refused.has(port)));
    return result(describeFailures(failed, retry), problems, yield* changesSince(stores, before));
  }

  /** Plans a port that may have what it wants. One that may not stays as it is. */
  function planWithin(port: PortState, onFailure: OnPlanFailure): PortPlan {
    refused.delete(port);
    if (port.desired !== undefined) {
      const used = usedLists(stores, port);
      const why = stores.ledger.ask(port, costOf(port.desired, used.frontends, used));
      if (why !== undefined) {
        refused.set(port, why);
        onFailure(port, '', new Error(why));
        return emptyPlan(port);
      }
    }
    return tryPlan(stores, port, onFailure);
  }

  function result(failed: Problem[], problems: Problem[], changes: readonly PortChange[] = []): ApplyResult {
    return {
      written: { ...stores.written },
      services: ready ? desired.size - failed.length : 0,
      frontends: stores.frontends.size,
      backends: stores.backends.live,
      stopped: stores.backends.takeStopped(),
      failed,
      refused: describeFailures(refused, refused),
      owed: tablesOf(stores).reduce((sum, { owed }) => sum + owed, 0),
      whyOwed: messageOf(tablesOf(stores).find(({ owed }) => owed > 0)?.whyOwed),
      problems,
      changes,
    };
  }

  function applyNodeTables(wanted: NodeTables): Written {
    resetWritten(stores.written);
    const errors: unknown[] = [];
    stageNodeTables(stores, wanted);
    commitStaged(stores, (_owner, _table, error) => errors.push(error));
    if (errors.length > 0) throw errors[0];
    return { ...stores.written };
  }

  function* repair(): Generator<number, void> {
    if (!ready) return;
    const errors: unknown[] = [];
    let staged = 0;
    const putRight = (): number => {
      const [rows, failed] = [staged, errors.length];
      staged = 0;
      if (rows > 0) commitStaged(stores, (_owner, _table, error) => errors.push(error));
      // What could not be written is not put right.
      return Math.max(0, rows - (errors.length - failed));
    };
    try {
      for (const finding of findDrift(stores)) {
        // A change that is being written is not mixed with repairs.
        while (applying && finding === undefined) yield putRight();
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
    apply: (delta, how) => atOnce(applySteps(delta, how)),
    applySteps,
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
    ledger: new Ledger(options.budgets, [
      maps.frontends.shape.maxEntries,
      // Slot 0 and id 0 stand for none.
      maps.backendSlots.shape.maxEntries - 1,
      maps.backendStates.shape.maxEntries - 1,
      maps.servicePorts.shape.maxEntries,
      maps.sourceRanges.shape.maxEntries,
      maps.affinityMembers.shape.maxEntries,
      maps.dsrBackends.shape.maxEntries,
    ]),
    isEssential: (service) => options.budgets !== undefined && isEssential(options.budgets, service),
    resting: new GraceQueue(now, graceMs),
    ids: new ServicePortIds(now, graceMs, maps.servicePorts.shape.maxEntries),
    claims: new Claims(),
    addressMarks: new AddressMarks(),
    ports: new Map(),
    written,
  };
}

/** Every table of rows. */
function tablesOf(stores: Stores): RowTable[] {
  return Object.values(stores).filter((store): store is RowTable => store instanceof RowTable);
}

function resetWritten(written: Written): void {
  written.rows = 0;
  written.bytes = 0;
  written.deletes = 0;
}

function tryPlan(stores: Stores, port: PortState, onFailure: OnPlanFailure): PortPlan {
  try {
    return planPort(stores, port);
  } catch (error) {
    onFailure(port, '', error);
    return emptyPlan(port);
  }
}

/** Why a port could not be written. */
type Failures = Map<PortState, unknown>;
type OnPlanFailure = (owner: PortState, table: string, error: unknown) => void;

/** What the cluster stands on first, then what is in force, then the older Services. */
function bySeniority(a: PortState, b: PortState): number {
  if (a.essential !== b.essential) return a.essential ? -1 : 1;
  const inForce = Number(b.rows.length > 0) - Number(a.rows.length > 0);
  return inForce || a.created - b.created || (a.name < b.name ? -1 : 1);
}

/** One problem a Service; the errors say what to do. */
function describeFailures(failed: ReadonlyMap<PortState, unknown>, of: { has(port: PortState): boolean }): Problem[] {
  const byService = new Map<string, Problem>();
  for (const [port, error] of failed) {
    if (!of.has(port) || byService.has(port.service)) continue;
    const [namespace = '', name = ''] = port.service.split('/');
    const message = messageOf(error) ?? '';
    byService.set(port.service, { kind: 'Service', namespace, name, field: 'spec', message });
  }
  return [...byService.values()];
}

function messageOf(error: unknown): string | undefined {
  return error === undefined || error instanceof Error ? error?.message : String(error);
}

function ignore(): void {}
