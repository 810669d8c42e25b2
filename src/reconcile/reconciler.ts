/** One sync: whatever changed since the last one goes from the objects and the host into the kernel. */
import { XDP_CHOICE_OFF } from '../../maps-schema/gen/codecs.ts';
import type { Compiler, Taken } from '../compile/compiler.ts';
import type { PeerState } from '../host/peers.ts';
import type { HostState } from '../host/state.ts';
import { familyOf } from '../model/address.ts';
import type { CompiledService, Problem } from '../model/compiled.ts';
import type { Node } from '../model/kubernetes.ts';
import { describeXdp, isXdpAttached } from '../model/xdp.ts';
import type { ApplyResult, Tables } from '../tables/tables.ts';
import type { DataPath } from './datapath.ts';
import { inTurns } from './in-turns.ts';
import { type NodeView, type NodeViewOptions, viewNode } from './node-view.ts';
import type { Reporter } from './report.ts';

/** Milliseconds before devices that failed are tried again: at first, doubled each time, at most. */
const RETRY_FIRST_MS = 100;
const RETRY_MOST_MS = 30_000;
/** Frontends lost to older Services that are told of one Service. */
const LOST_TOLD = 6;

export interface SyncResult {
  readonly applied: ApplyResult;
  readonly changed: readonly CompiledService[];
  readonly removed: readonly string[];
  readonly view: NodeView;
  /** False: something failed and is to be tried again. */
  readonly ok: boolean;
  /** What failed is the matter of one Service or device, or nothing: the rest is in force, the node is healthy. */
  readonly sound: boolean;
  /** Devices that could not be attached to. */
  readonly failedDevices: number;
  /** Rows that belong to no Service and could not be written or deleted. */
  readonly failedRows: number;
  /** performance.now() at which another sync has rows of gone services to remove; undefined: none. */
  readonly nextExpiry: number | undefined;
}

export interface ReconcilerOptions {
  readonly dataPath: DataPath;
  readonly tables: Tables;
  readonly compiler: Compiler;
  readonly view: NodeViewOptions;
  readonly report: Reporter;
  readonly inform: (message: string, fields?: Record<string, unknown>) => void;
}

export interface Reconciler {
  /** The host or the Node object changed; seen by the next sync. */
  setHost(host: HostState): void;
  setNode(node: Node | undefined): void;
  /** The same for the other nodes. */
  setPeers(peers: PeerState): void;
  /** Networks of ServiceCIDRs, as written. */
  setServiceCidrs(networks: readonly string[]): void;
  /** Ids of the cgroups of pods that opt out of the socket hook. */
  setSocketOptOuts(ids: readonly bigint[]): void;
  /** Links were found detached: the next sync puts all of them in place. */
  linksLost(): void;
  /** The next sync attaches, or detaches, everything: it was taken over, or handed back. */
  handedOver(): void;
  /**
   * Call it only when every list has arrived.
   * One at a time. Long work is done in turns: see in-turns.ts.
   * @param check also puts links right that somebody else took.
   * @param signal ends it early: it rejects then
   */
  sync(check: boolean, signal?: AbortSignal): Promise<SyncResult>;
}

export function createReconciler(
  options: ReconcilerOptions,
  initial: {
    host: HostState;
    node: Node | undefined;
    peers: PeerState | undefined;
    serviceCidrs: readonly string[];
    /** undefined: not known, those of before stay in force. */
    socketOptOuts: readonly bigint[] | undefined;
  },
): Reconciler {
  const { dataPath, tables, compiler, report, inform } = options;
  let { host, node, peers, serviceCidrs, socketOptOuts } = initial;
  let view: NodeView | undefined;
  let complete = false;
  /** The tables were told everything there is: from then on a sync brings what changed. */
  let toldAll = false;
  let attached = false;
  /** The node's rows are in the kernel, as far as they could be deleted. */
  let nodeInForce = false;
  /** Devices that could not be attached to; a few of many are no fault of the node. */
  let failedDevices: readonly { device: string; error: unknown }[] = [];
  /** performance.now() before which they are not tried again, whatever changes meanwhile. */
  let retryDevicesAt = 0;
  let deviceRetryMs = 0;
  /** Why, by name. */
  let leftOutBefore = new Map<string, string>();
  /** What became of XDP, by ifindex. */
  let xdp = new Map<number, number>();

  /** XDP sends to a device only what it takes: one that is not planned any more is no such device. */
  function choiceOf({ xdp: plans }: NodeView, ifindex: number): number {
    const plan = plans.find(({ device }) => device.ifindex === ifindex);
    return plan?.place === undefined ? (plan?.choice ?? XDP_CHOICE_OFF) : (xdp.get(ifindex) ?? XDP_CHOICE_OFF);
  }

  /** Each once, and again when the reason is another. */
  function tellLeftOut({ leftOut }: NodeView): void {
    for (const { device, why } of leftOut)
      if (leftOutBefore.get(device) !== why) inform(`device ${device} is left out: ${why}`, { device });
    leftOutBefore = new Map(leftOut.map(({ device, why }) => [device, why]));
  }

  function look(): NodeView {
    if (view !== undefined) return view;
    view = viewNode(host, node, peers, serviceCidrs, options.view);
    report.set('Node', nodeProblems(view, options.view.nodeName));
    tellLeftOut(view);
    compiler.setContext(view.context);
    attached = false;
    nodeInForce = false;
    return view;
  }

  function applyNode(current: NodeView): void {
    nodeInForce = false;
    try {
      tables.applyNodeTables({
        nodeAddresses: current.addresses,
        devices: current.deviceRows.map(({ ifindex, ...device }) => ({
          ifindex,
          device: { ...device, xdp: choiceOf(current, ifindex) },
        })),
        podCidrs: current.podCidrs,
        peers: current.peers,
        serviceCidrs: current.serviceCidrs,
        reservedPorts: current.reservedPorts,
        socketOptOuts,
      });
      dataPath.tellServiceCidrs(current.serviceCidrs.map(({ address }) => familyOf(address)));
      nodeInForce = true;
      report.set('node rows', []);
    } catch (error) {
      report.set('node rows', [nodeProblem(options.view.nodeName, 'rows of the node', (error as Error).message)]);
    }
  }

  /** @returns whether the socket hook and some node device are in place. */
  function attach(current: NodeView): boolean {
    try {
      const failed = dataPath.attach([...current.nodeDevices, ...current.podDevices]);
      setFailedDevices(failed);
      attached = true;
      const names = new Set(failed.map(({ device }) => device));
      return current.nodeDevices.length === 0 || current.nodeDevices.some(({ name }) => !names.has(name));
    } catch (error) {
      // At the start this ends the agent; later on what is attached goes on, and this is tried again.
      if (!complete) throw error;
      report.set('attach', [nodeProblem(options.view.nodeName, 'socket hook', (error as Error).message)]);
      attached = false;
      return false;
    }
  }

  function setFailedDevices(failed: typeof failedDevices): void {
    failedDevices = failed;
    deviceRetryMs = failed.length === 0 ? 0 : Math.min(RETRY_MOST_MS, Math.max(RETRY_FIRST_MS, deviceRetryMs * 2));
    retryDevicesAt = performance.now() + deviceRetryMs;
    report.set(
      'attach',
      failed.map(({ device, error }) =>
        nodeProblem(options.view.nodeName, `device ${device}`, (error as Error).message),
      ),
    );
  }

  /** With the devices in place: what a change of endpoints asks for, however many pods the node has. */
  function attachSockets(): boolean {
    try {
      dataPath.attachSockets();
      return true;
    } catch (error) {
      // As with the devices: it is put in place with them, and told once.
      report.set('attach', [nodeProblem(options.view.nodeName, 'socket hook', (error as Error).message)]);
      attached = false;
      return false;
    }
  }

  /** Last of all, and checked again with every link: what was in the way may be gone. */
  function attachXdp(current: NodeView): void {
    const outcomes = dataPath.attachXdp(current.xdp);
    const changed = outcomes.filter(({ ifindex, choice }) => xdp.get(ifindex) !== choice);
    const known = xdp;
    xdp = new Map(outcomes.map(({ ifindex, choice }) => [ifindex, choice]));
    for (const { device, ifindex, choice, error } of changed) {
      if (choice === XDP_CHOICE_OFF && !known.has(ifindex)) continue;
      const { xdp: place, why } = describeXdp(choice);
      const fields = { device, xdp: place, ...(error && { error: error.message }) };
      if (isXdpAttached(choice)) inform(`XDP on ${device}: ${place}`, fields);
      else inform(`XDP on ${device}: off, ${why}; tc carries its packets`, fields);
    }
    if (changed.length > 0 || known.size !== xdp.size) applyNode(current);
  }

  function* reportServices({ changed }: Taken, applied: ApplyResult): Generator<void, void> {
    const lost = new Map<string, Problem[]>();
    for (const problem of applied.problems) {
      const key = `${problem.namespace}/${problem.name}`;
      const known = lost.get(key);
      if (known === undefined) lost.set(key, [problem]);
      else known.push(problem);
    }
    for (const { namespace, name, problems } of changed) {
      const key = `${namespace}/${name}`;
      report.set(key, [...problems, ...(lost.get(key) ?? []).slice(0, LOST_TOLD)]);
      yield;
    }
  }

  return {
    setHost(next) {
      host = next;
      view = undefined;
      dataPath.raiseNexthopGeneration();
    },

    setNode(next) {
      node = next;
      view = undefined;
    },

    setPeers(next) {
      peers = next;
      view = undefined;
    },

    setServiceCidrs(next) {
      serviceCidrs = next;
      view = undefined;
    },

    setSocketOptOuts(next) {
      socketOptOuts = next;
      view = undefined;
    },

    linksLost() {
      dataPath.forget();
      attached = false;
    },

    handedOver() {
      dataPath.forget();
      attached = false;
    },

    async sync(check, signal) {
      const current = look();
      if (!attached || !nodeInForce) applyNode(current);
      const taken = await inTurns(compiler.takeSteps(), signal);
      const applied = await inTurns(tables.applySteps(taken, { complete: !toldAll }), signal);
      toldAll = true;
      await inTurns(reportServices(taken, applied), signal);
      for (const key of taken.removed) report.set(key, []);
      if (taken.problems.length > 0) report.set('names', taken.problems);
      report.set('tables', applied.failed);
      report.set('budgets', applied.refused);
      const { owed, whyOwed = '' } = applied;
      report.set(
        'owed',
        owed === 0 ? [] : [nodeProblem(options.view.nodeName, 'rows', `${owed} rows could not be deleted: ${whyOwed}`)],
      );
      if (applied.stopped > 0) dataPath.expectStaleSockets();
      // The first time too: what a former run left, it may have left in the middle.
      if (check || !complete) dataPath.reviewStaleSockets();
      if (check) {
        dataPath.forget();
        attached = false;
      }
      // Last, so that no packet meets a program before its maps are filled.
      const due = !attached || (failedDevices.length > 0 && performance.now() >= retryDevicesAt);
      const inPlace = due ? attach(current) : attachSockets();
      if (due) attachXdp(current);
      complete = true;
      const { failed, services } = applied;
      const sound = nodeInForce && inPlace && failed.length <= services;
      return {
        nextExpiry: tables.nextExpiry(),
        applied,
        changed: taken.changed,
        removed: taken.removed,
        view: current,
        ok: sound && failed.length === 0 && failedDevices.length === 0 && owed === 0,
        sound,
        failedDevices: failedDevices.length,
        failedRows: owed + (nodeInForce ? 0 : 1),
      };
    },
  };
}

function nodeProblem(name: string, field: string, message: string): Problem {
  return { kind: 'Node', namespace: '', name, field, message };
}

function nodeProblems(view: NodeView, name: string): Problem[] {
  const problem = (field: string, message: string) => nodeProblem(name, field, message);
  return [
    ...view.missing.map((device) =>
      problem('--devices', `there is no device ${device}: nothing is attached to it until there is`),
    ),
    ...view.leftOut.flatMap(({ device, why, unserved }) =>
      unserved.map((address) =>
        problem('nodePortAddresses', `${address} does not answer what arrives by ${device}, which is left out: ${why}`),
      ),
    ),
    ...(view.nodeDevices.length === 0
      ? [
          problem(
            'devices',
            'no device carries an address or a default route: traffic from outside is not served; name one with --devices',
          ),
        ]
      : []),
  ];
}
