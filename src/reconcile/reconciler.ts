/** One sync: whatever changed since the last one goes from the objects and the host into the kernel. */
import { XDP_CHOICE_OFF } from '../../maps-schema/gen/codecs.ts';
import type { Compiler } from '../compile/compiler.ts';
import type { PeerState } from '../host/peers.ts';
import type { HostState } from '../host/state.ts';
import { familyOf } from '../model/address.ts';
import type { CompiledService, Problem } from '../model/compiled.ts';
import type { Node } from '../model/kubernetes.ts';
import { describeXdp, isXdpAttached } from '../model/xdp.ts';
import type { ApplyResult, Tables } from '../tables/tables.ts';
import type { DataPath } from './datapath.ts';
import { type NodeView, type NodeViewOptions, viewNode } from './node-view.ts';
import type { Reporter } from './report.ts';

export interface SyncResult {
  readonly applied: ApplyResult;
  readonly changed: readonly CompiledService[];
  readonly removed: readonly string[];
  readonly view: NodeView;
  /** False: something failed and is to be tried again. */
  readonly ok: boolean;
  /** performance.now() at which another sync has rows of gone services to remove; undefined: none. */
  readonly nextExpiry: number | undefined;
}

export interface ReconcilerOptions {
  readonly dataPath: DataPath;
  readonly tables: Tables;
  readonly compiler: Compiler;
  readonly view: NodeViewOptions;
  readonly report: Reporter;
  readonly warn: (message: string, fields?: Record<string, unknown>) => void;
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
  /** The next sync attaches, or detaches, everything: it was taken over, or handed back. */
  handedOver(): void;
  /**
   * Call it only when every list has arrived.
   * @param check also puts links right that somebody else took.
   */
  sync(check: boolean): SyncResult;
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
  const { dataPath, tables, compiler, report, warn, inform } = options;
  let { host, node, peers, serviceCidrs, socketOptOuts } = initial;
  let view: NodeView | undefined;
  let complete = false;
  let attached = false;
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
    return view;
  }

  function applyNode(current: NodeView): boolean {
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
      return true;
    } catch (error) {
      warn(`write the node's tables: ${(error as Error).message}`);
      return false;
    }
  }

  function attach(current: NodeView): boolean {
    try {
      const failed = dataPath.attach([...current.nodeDevices, ...current.podDevices]);
      for (const { device, error } of failed) warn((error as Error).message, { device });
      attached = failed.length === 0;
    } catch (error) {
      // At the start this ends the agent; later on what is attached goes on, and this is tried again.
      if (!complete) throw error;
      warn((error as Error).message);
      attached = false;
    }
    return attached;
  }

  /** With the devices in place: what a change of endpoints asks for, however many pods the node has. */
  function attachSockets(): boolean {
    try {
      dataPath.attachSockets();
      return true;
    } catch (error) {
      warn((error as Error).message);
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

    handedOver() {
      dataPath.forget();
      attached = false;
    },

    sync(check) {
      const current = look();
      let ok = attached || applyNode(current);
      const taken = compiler.take();
      const applied = tables.apply(taken, { complete: !complete });
      for (const { namespace, name, problems } of taken.changed) {
        const lost = applied.problems.filter((problem) => problem.namespace === namespace && problem.name === name);
        report.set(`${namespace}/${name}`, [...problems, ...lost]);
      }
      for (const key of taken.removed) report.set(key, []);
      if (taken.problems.length > 0) report.set('names', taken.problems);
      report.set('tables', applied.failed);
      if (applied.stopped > 0) dataPath.expectStaleSockets();
      // The first time too: what a former run left, it may have left in the middle.
      if (check || !complete) dataPath.reviewStaleSockets();
      if (check) {
        dataPath.forget();
        attached = false;
      }
      // Last, so that no packet meets a program before its maps are filled.
      const due = !attached;
      ok = (attached ? attachSockets() : attach(current)) && ok;
      if (due) attachXdp(current);
      complete = true;
      return {
        nextExpiry: tables.nextExpiry(),
        applied,
        changed: taken.changed,
        removed: taken.removed,
        view: current,
        ok: ok && applied.failed.length === 0,
      };
    },
  };
}

function nodeProblems(view: NodeView, name: string): Problem[] {
  const problem = (field: string, message: string): Problem => ({ kind: 'Node', namespace: '', name, field, message });
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
