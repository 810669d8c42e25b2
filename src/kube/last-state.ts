/**
 * The last good state: what an API server said last is kept in a file, and served by a node that starts with nothing in
 * force while no API server answers. When one does, what differs is put right.
 */
import type { EndpointSlice, Node, Service } from '../model/kubernetes.ts';
import type { ObjectEvent, ObjectSource, SourceListener } from '../model/source.ts';
import { sleep } from './backoff.ts';
import { readState, type State, writeState } from './state-file.ts';

export interface LastStateOptions {
  readonly file: string;
  readonly nodeName: string;
  /** Is anything in force already? Then the file is of no use. */
  readonly served: () => boolean;
  readonly warn: (message: string, fields?: Record<string, unknown>) => void;
  readonly inform: (message: string, fields?: Record<string, unknown>) => void;
  /** Milliseconds that the API server has before the file is served. */
  readonly patienceMs?: number;
  /** Milliseconds between two writes of the file at least. */
  readonly spacingMs?: number;
}

export interface LastState {
  /** Addresses of API servers, as they were known last: of the Service default/kubernetes. */
  readonly apiServers: readonly string[];
  /** There is a state of this node. */
  readonly usable: boolean;
  /** URL of the server that answered last. */
  readonly lastServer: string | undefined;
  /** The same source, whose state is kept, and served when it says nothing. */
  wrap(source: ObjectSource): ObjectSource;
  /** When the state was saved that is served in place of the API server's; undefined: none is. RFC 3339 */
  serving(): string | undefined;
}

const PATIENCE_MS = 5_000;
const SPACING_MS = 30_000;
/** Milliseconds before the first write. */
const FIRST_MS = 5_000;

/** A line of the file. */
type Line =
  | { readonly kind: 'service' | 'slice' | 'node' | 'peer'; readonly key: string; readonly object: object }
  | { readonly kind: 'cidrs'; readonly networks: readonly string[] };

/** What was told, by key. */
interface Objects {
  readonly service: Map<string, Service>;
  readonly slice: Map<string, EndpointSlice>;
  readonly peer: Map<string, Node>;
  node: Node | undefined;
  cidrs: readonly string[] | undefined;
}

const nothing = (): Objects => ({
  service: new Map(),
  slice: new Map(),
  peer: new Map(),
  node: undefined,
  cidrs: undefined,
});

/** Reads the file. Never rejects: one that cannot be believed is told, and left aside. */
export async function createLastState(options: LastStateOptions): Promise<LastState> {
  const { file, nodeName, served, warn, inform, patienceMs = PATIENCE_MS, spacingMs = SPACING_MS } = options;
  const state = await readState(file).catch((error: Error) => {
    warn(`the last state in ${file} is not used: ${error.message}`);
    return undefined;
  });
  const usable = state?.header.node === nodeName ? state : undefined;
  const kept = usable === undefined ? nothing() : objectsOf(usable);
  let serving: string | undefined;

  return {
    apiServers: apiServersOf(kept.slice.values()),
    usable: usable !== undefined,
    lastServer: usable?.header.server,
    serving: () => serving,
    wrap: (source) => ({
      watchNodes: () => source.watchNodes(),
      ...(source.contact && { contact: () => source.contact?.() }),
      async run(listener, signal) {
        const keeper = createKeeper(listener, () => {
          serving = undefined;
        });
        const running = source.run(keeper.listener, signal);
        const serve = async () => {
          await sleep(patienceMs, signal);
          if (signal.aborted || keeper.synced() || usable === undefined || served()) return;
          serving = usable.header.saved;
          inform('no API server answers: serving the last state', { saved: serving });
          keeper.serve(kept);
        };
        await Promise.all([running, serve(), save(keeper, source)]);

        async function save(from: Keeper, { contact }: ObjectSource): Promise<void> {
          let told = false;
          for (let wait = Math.min(FIRST_MS, spacingMs); !signal.aborted; wait = spacingMs) {
            await sleep(wait, signal);
            if (!from.takeChanged()) continue;
            const header = { node: nodeName, saved: new Date().toISOString(), server: contact?.()?.server ?? '' };
            await writeState(file, header, linesOf(from.current)).catch((error: Error) => {
              if (!told) warn(`the last state is not kept: ${error.message}`);
              told = true;
            });
          }
        }
      },
    }),
  };
}

interface Keeper {
  readonly listener: SourceListener;
  /** What the source has told. */
  readonly current: Objects;
  synced(): boolean;
  /** Tells the listener a state in place of what the source has not told yet. */
  serve(state: Objects): void;
  /** Has the source told all, and anything new since the last call? */
  takeChanged(): boolean;
}

/** Stands between a source and its listener. */
function createKeeper(listener: SourceListener, onSynced: () => void): Keeper {
  const current = nothing();
  let stale = nothing();
  let synced = false;
  let served = false;
  let changed = false;

  function keep<T>(map: Map<string, T>, events: readonly ObjectEvent<T>[]): void {
    changed = true;
    for (const { key, object } of events)
      if (object === undefined) map.delete(key);
      else map.set(key, object);
  }

  /** What the state had and the source has not. */
  function gone<T>(old: ReadonlyMap<string, T>, now: ReadonlyMap<string, T>): ObjectEvent<T>[] {
    return [...old.keys()].filter((key) => !now.has(key)).map((key) => ({ type: 'delete', key }));
  }
  const setOf = <T>(map: ReadonlyMap<string, T>): ObjectEvent<T>[] =>
    [...map].map(([key, object]) => ({ type: 'set', key, object }));
  const tell = <T>(events: ObjectEvent<T>[], to: (events: ObjectEvent<T>[]) => void) => {
    if (events.length > 0) to(events);
  };

  return {
    current,
    synced: () => synced,
    serve(state) {
      stale = state;
      served = true;
      tell(setOf(state.service), (events) => listener.services(events));
      tell(setOf(state.slice), (events) => listener.endpointSlices(events));
      if (state.cidrs !== undefined) listener.serviceCidrs(state.cidrs);
      if (state.node !== undefined) listener.node(state.node);
      if (state.peer.size > 0) {
        listener.nodes(setOf(state.peer));
        listener.nodesListed();
      }
      listener.synced();
    },
    takeChanged() {
      const yes = synced && changed;
      if (yes) changed = false;
      return yes;
    },
    listener: {
      services(events) {
        keep(current.service, events);
        listener.services(events);
      },
      endpointSlices(events) {
        keep(current.slice, events);
        listener.endpointSlices(events);
      },
      node(node) {
        changed = true;
        current.node = node;
        listener.node(node);
      },
      nodes(events) {
        keep(current.peer, events);
        listener.nodes(events);
      },
      nodesListed() {
        tell(gone(stale.peer, current.peer), (events) => listener.nodes(events));
        listener.nodesListed();
      },
      serviceCidrs(networks) {
        changed = true;
        current.cidrs = networks;
        listener.serviceCidrs(networks);
      },
      socketOptOuts: (uids) => listener.socketOptOuts(uids),
      problem: (problem) => listener.problem(problem),
      note: (note) => listener.note?.(note),
      synced() {
        synced = true;
        onSynced();
        tell(gone(stale.service, current.service), (events) => listener.services(events));
        tell(gone(stale.slice, current.slice), (events) => listener.endpointSlices(events));
        if (!served) listener.synced();
      },
    },
  };
}

function* linesOf(objects: Objects): Generator<Line> {
  for (const kind of ['service', 'slice', 'peer'] as const)
    for (const [key, object] of objects[kind]) yield { kind, key, object };
  if (objects.node !== undefined) yield { kind: 'node', key: '', object: objects.node };
  if (objects.cidrs !== undefined) yield { kind: 'cidrs', networks: objects.cidrs };
}

function objectsOf({ lines }: State): Objects {
  const objects = nothing();
  for (const line of lines as Line[]) {
    if (line.kind === 'cidrs') objects.cidrs = line.networks;
    else if (line.kind === 'node') objects.node = line.object;
    else objects[line.kind].set(line.key, line.object);
  }
  return objects;
}

/** The API servers' own addresses are the endpoints of the Service that leads to them. */
function apiServersOf(slices: Iterable<EndpointSlice>): string[] {
  for (const { metadata, endpoints, ports } of slices) {
    if (metadata?.namespace !== 'default' || metadata.labels?.['kubernetes.io/service-name'] !== 'kubernetes') continue;
    const port = ports?.[0]?.port ?? 6443;
    return (endpoints ?? []).flatMap(({ addresses }) =>
      (addresses ?? []).map((address) => `https://${address.includes(':') ? `[${address}]` : address}:${port}`),
    );
  }
  return [];
}
