/** Where Services, EndpointSlices and the Node come from: an API server or a directory. */
import type { EndpointSlice, Node, Service } from './kubernetes.ts';

export interface ObjectEvent<T> {
  readonly type: 'set' | 'delete';
  /** `namespace/name` */
  readonly key: string;
  /** Present for `set`. */
  readonly object?: T;
}

/**
 * Receives events from a source. Calls are synchronous and ordered. A relist arrives as the least
 * events that lead from the old list to the new one: deletions that happened meanwhile included.
 */
export interface SourceListener {
  services(events: readonly ObjectEvent<Service>[]): void;
  endpointSlices(events: readonly ObjectEvent<EndpointSlice>[]): void;
  /** This node's own object; undefined when it does not exist. */
  node(node: Node | undefined): void;
  /** The other nodes and this one; nothing until `watchNodes` was called, or always where it costs nothing. */
  nodes(events: readonly ObjectEvent<Node>[]): void;
  /** Called once, when the nodes have been listed after `watchNodes`. */
  nodesListed(): void;
  /**
   * The networks of all ServiceCIDRs, as written, sorted. undefined: the source does not tell them.
   * Not waited for: it may come before or after `synced`, or never.
   */
  serviceCidrs(networks: readonly string[] | undefined): void;
  /**
   * uids of this node's pods that opt out of the socket hook, sorted. Only where pods are watched, and once they are
   * known: not waited for.
   */
  socketOptOuts(uids: readonly string[]): void;
  /** Called once, when services, slices and the node have each been listed. */
  synced(): void;
  /** Status for people: a connection lost, a file that does not parse. Reported once per change. */
  problem(problem: { readonly object: string; readonly message: string }): void;
  /** What a change of the source itself did, for people: a file that was read. */
  note?(note: { readonly object: string; readonly message: string }): void;
}

/** How it stands with a source that is asked over the network. */
export interface Contact {
  /** URL of the server that is asked now. */
  readonly server: string;
  /** Milliseconds since its last word; undefined: there was none yet. */
  readonly silentMs: number | undefined;
}

export interface ObjectSource {
  /** undefined: it is not asked over the network, or not yet. */
  contact?(): Contact | undefined;
  /**
   * All nodes are asked for from now on, not this one alone: every change of every Node is sent to every
   * agent that asks.
   */
  watchNodes(): void;
  /** Runs until the signal aborts; never rejects for a fault of the other side, it retries. */
  run(listener: SourceListener, signal: AbortSignal): Promise<void>;
}
