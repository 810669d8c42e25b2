/**
 * The one ordering rule. Whatever is written to the maps of the agent is written by `commit`:
 *
 *   1. additions that no packet reads yet: states of new backends, fresh extents, members, ranges, names;
 *      and the ports that source NAT spares
 *   2. frontends: each row swaps from the old extents to the new ones at once
 *   3. service_addresses: rows and flags come after the frontends that they stand for, and go before them
 *   4. frontends that go
 *   5. removals of what no frontend names any more; extents and ids then rest before they are reused
 *
 * Each of them for all ServicePorts of a change before the next, some ServicePorts at a time, so that it may be paused.
 * So a packet sees the old set of a Service or the new one, never a mixture; and it meets no service
 * address whose frontends are still to come or gone already: a port that is refused there is undefined.
 */
import { frontend as frontendCodec } from '../../maps-schema/gen/codecs.ts';
import type { CompiledFrontend } from '../model/compiled.ts';
import type { PortPlan } from './plan.ts';
import type { RowTable } from './row-table.ts';
import { affinityMemberKeyOf, servicePortKeyOf, writeDsrBackend, writeServicePort } from './rows.ts';
import { settle } from './settle.ts';
import { backendIdOf } from './slots.ts';
import type { OnFailure, PortState, Stores } from './state.ts';

/** Ports that could not be written so far: onFailure adds to it. */
interface Failed {
  has(port: PortState): boolean;
}

const value = Buffer.alloc(256);

/** Stages what frontends of a plan will need to find. */
function stageAdditions(stores: Stores, plan: PortPlan): void {
  const { port } = plan;
  if (port.desired === undefined || port.id === 0) return;
  writeServicePort(value, port.desired);
  stores.servicePorts.stage(servicePortKeyOf(port.id), value, 0, port);
  if (plan.ranges.length > 0) {
    value.fill(0, 0, 4);
    for (const key of plan.ranges) stores.sourceRanges.stage(key, value, 0, port);
  }
  port.desired.directBackends?.forEach((backend, i) => {
    writeDsrBackend(value, backend);
    stores.dsrBackends.stage(plan.direct[i] ?? '', value, 0, port);
  });
  if (port.desired.affinitySeconds > 0) stageMembers(stores, plan);
}

function stageMembers(stores: Stores, plan: PortPlan): void {
  const copy = stores.slots.copy;
  for (const extent of new Set([plan.cluster, plan.local])) {
    if (extent === undefined || extent.members === 'all') continue;
    extent.members = 'all';
    for (let offset = 0; offset < extent.count; offset++) {
      value.writeUInt32LE(offset, 0);
      stores.affinityMembers.stage(
        affinityMemberKeyOf(extent.base, backendIdOf(copy, extent.base + offset)),
        value,
        0,
        plan.port,
      );
    }
  }
}

function stageFrontends(stores: Stores, plan: PortPlan): void {
  const { port } = plan;
  port.frontends.forEach((frontend, i) => {
    const key = port.keys[i] ?? '';
    if (stores.claims.winner(key) !== port) return;
    writeFrontend(plan, frontend);
    stores.frontends.stage(key, value, 0, port);
  });
}

function writeFrontend(plan: PortPlan, frontend: CompiledFrontend): void {
  const internal = plan[frontend.internal];
  const external = plan[frontend.external];
  frontendCodec.write(value, 0, {
    servicePortId: plan.port.id,
    flags: frontend.flags,
    internalBase: internal?.base ?? plan.emptyBase,
    internalCount: internal?.count ?? 0,
    externalBase: external?.base ?? plan.emptyBase,
    externalCount: external?.count ?? 0,
    affinitySeconds: plan.port.desired?.affinitySeconds ?? 0,
  });
}

/** Stages for every plan that has not failed. A value that fits no field stops its ServicePort alone. */
function stageEach(
  stores: Stores,
  plans: readonly PortPlan[],
  failed: Failed,
  onFailure: OnFailure,
  stage: (stores: Stores, plan: PortPlan) => void,
): void {
  for (const plan of plans) {
    if (failed.has(plan.port)) continue;
    try {
      stage(stores, plan);
    } catch (error) {
      onFailure(plan.port, '', error);
    }
  }
}

/** Stages the removal of rows that the port has in the kernel and should not have. */
function stageFrontendDeletes(stores: Stores, port: PortState): void {
  for (const key of port.rows) {
    if (stores.frontends.owner(key) === port && stores.claims.winner(key) !== port) stores.frontends.stageDelete(key);
  }
}

/** Ports, and slots of theirs, that are written in a step. */
const STEP_PORTS = 64;
const STEP_SLOTS = 2048;

/** Runs of ports, each of about the same work. */
function* runsOf(ports: readonly PortState[]): Generator<PortState[]> {
  let run: PortState[] = [];
  let slots = 0;
  for (const port of ports) {
    run.push(port);
    const { lists } = port.desired ?? {};
    slots += lists === undefined ? 0 : lists.cluster.length + lists.local.length;
    if (run.length < STEP_PORTS && slots < STEP_SLOTS) continue;
    yield run;
    run = [];
    slots = 0;
  }
  if (run.length > 0) yield run;
}

/** Tables whose rows come before frontends and go after them. */
function rowsOf(stores: Stores): RowTable[] {
  const { affinityMembers, sourceRanges, servicePorts, nodeAddresses, devices } = stores;
  const { podCidrs, serviceCidrs, peers, dsrBackends, socketOptOuts } = stores;
  const ofServices = [affinityMembers, sourceRanges, servicePorts, dsrBackends];
  return [...ofServices, nodeAddresses, devices, podCidrs, serviceCidrs, peers, socketOptOuts];
}

/**
 * Writes what the ports ask for, in order, some ports a step. Between two steps nothing is staged, and nothing else may
 * be written: frontends wait for service_addresses until all of them are there.
 * @param ports the senior ones first: they have what room there is
 * @param plan asked for each when its turn has come
 * @param failed ports whose plan failed; ports whose additions fail join them: their frontends stay as they are.
 * @param stageLeftovers stages removals that belong to no port
 */
export function* commit(
  stores: Stores,
  ports: readonly PortState[],
  plan: (port: PortState) => PortPlan,
  failed: Failed,
  onFailure: OnFailure,
  stageLeftovers?: () => void,
): Generator<void> {
  const { frontends, addressMarks, backends } = stores;
  const rows = rowsOf(stores);
  const runs: PortPlan[][] = [];
  for (const run of runsOf(ports)) {
    const plans = run.map(plan);
    runs.push(plans);
    stageEach(stores, plans, failed, onFailure, stageAdditions);
    publishAdditions(stores, rows, onFailure);
    stageEach(stores, plans, failed, onFailure, stageFrontends);
    frontends.flushUpdates(onFailure);
    yield;
  }

  for (const plans of runs) {
    for (const { port } of plans) addressMarks.update(stores, port, failed.has(port));
    yield;
  }
  yield* addressMarks.write(stores, onFailure);

  for (const plans of runs) {
    for (const { port } of plans) stageFrontendDeletes(stores, port);
    frontends.flushDeletes(onFailure);
    yield;
  }

  for (const plans of runs) {
    for (const made of plans) settle(stores, made, failed.has(made.port));
    backends.publishCleared();
    for (const table of rows) table.flushDeletes(onFailure);
    yield;
  }
  stageLeftovers?.();
  backends.publishCleared();
  for (const table of rows) table.flushDeletes(onFailure);
}

function publishAdditions(stores: Stores, rows: readonly RowTable[], onFailure: OnFailure): void {
  stores.backends.publishAdded();
  stores.slots.publish();
  stores.reservedPorts.publish();
  for (const table of rows) table.flushUpdates(onFailure);
}

/** Writes what is staged, in the same order: rows of the node, and what drift has changed. */
export function commitStaged(stores: Stores, onFailure: OnFailure): void {
  const rows = rowsOf(stores);
  publishAdditions(stores, rows, onFailure);
  stores.frontends.flushUpdates(onFailure);
  stores.serviceAddresses.flushDeletes(onFailure);
  stores.serviceAddresses.flushUpdates(onFailure);
  stores.frontends.flushDeletes(onFailure);
  stores.backends.publishCleared();
  for (const table of rows) table.flushDeletes(onFailure);
}

/** Gives back what has rested long enough, and removes the names of ids that are free again. */
export function expire(stores: Stores, onFailure: OnFailure): void {
  for (let range = stores.resting.take(); range !== undefined; range = stores.resting.take()) {
    stores.extents.release(range.base, range.length);
  }
  for (const id of stores.ids.expire()) stores.servicePorts.stageDelete(servicePortKeyOf(id));
  stores.servicePorts.flushDeletes(onFailure);
}
