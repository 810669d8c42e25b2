/** Collects what a source delivers, and waits for conditions on it. */
import type { EndpointSlice, Node, Service } from '../../../src/model/kubernetes.ts';
import type { ObjectEvent, SourceListener } from '../../../src/model/source.ts';

export interface Recorder extends SourceListener {
  readonly state: { services: Map<string, Service>; slices: Map<string, EndpointSlice>; node: Node | undefined };
  /** Every event as text, e.g. `set service default/web`. */
  readonly log: string[];
  /** Names of all nodes that were told. */
  readonly nodeNames: Set<string>;
  /** How often it was said that the nodes are listed. */
  readonly nodeLists: number;
  /** What the source said of its files. */
  readonly notes: string[];
  readonly problems: { object: string; message: string }[];
  /** Each delivery of the networks of ServiceCIDRs. */
  readonly networks: (readonly string[] | undefined)[];
  /** Each delivery of the pods that opt out of the socket hook. */
  readonly optOuts: (readonly string[])[];
  readonly syncs: number;
  readonly batches: number;
}

export function createRecorder(): Recorder {
  const state: Recorder['state'] = { services: new Map(), slices: new Map(), node: undefined };
  const log: string[] = [];
  const nodeNames = new Set<string>();
  let nodeLists = 0;
  const notes: string[] = [];
  const problems: Recorder['problems'] = [];
  const networks: Recorder['networks'] = [];
  const optOuts: Recorder['optOuts'] = [];
  let syncs = 0;
  let batches = 0;

  function apply<T>(kind: string, map: Map<string, T>, events: readonly ObjectEvent<T>[]): void {
    batches++;
    if (events.length === 0) throw new Error('an empty batch was delivered');
    for (const { type, key, object } of events) {
      log.push(`${type} ${kind} ${key}`);
      if (type === 'delete') map.delete(key);
      else map.set(key, object as T);
    }
  }

  return {
    state,
    log,
    problems,
    notes,
    nodeNames,
    get nodeLists() {
      return nodeLists;
    },
    nodes(events) {
      for (const { type, key } of events) type === 'set' ? nodeNames.add(key.slice(1)) : nodeNames.delete(key.slice(1));
    },
    nodesListed() {
      nodeLists++;
    },
    networks,
    optOuts,
    get syncs() {
      return syncs;
    },
    get batches() {
      return batches;
    },
    services: (events) => apply('service', state.services, events),
    endpointSlices: (events) => apply('slice', state.slices, events),
    node(node) {
      log.push(node ? `set node ${node.metadata?.name}` : 'no node');
      state.node = node;
    },
    socketOptOuts: (uids) => optOuts.push(uids),
    serviceCidrs: (found) => networks.push(found),
    synced() {
      syncs++;
      log.push('synced');
    },
    note: ({ message }) => notes.push(message),
    problem: (problem) => problems.push(problem),
  };
}

/** Polls until the condition holds. @throws after 10 s, with the condition's text */
export async function until(condition: () => boolean): Promise<void> {
  const end = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`never came true: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
