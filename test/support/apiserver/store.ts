/**
 * Every object with one counter of versions, and the recent history of changes that watches start
 * from. Objects are replaced, never changed: whoever holds one holds a snapshot.
 */
import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { alreadyExists, conflict, notFound } from './errors.ts';
import { type KubeObject, type Metadata, type Resource, resourceName } from './resources.ts';

export interface Change {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly version: number;
  readonly object: KubeObject;
  /** The object before; absent for ADDED. */
  readonly previous: KubeObject | undefined;
}

export type Subscriber = (change: Change) => void;

export interface Store {
  readonly version: number;
  /** Changes before this version are forgotten: a watch can start from the version below it, from no older one. */
  oldest(resource: Resource): number;
  get(resource: Resource, namespace: string | undefined, name: string): KubeObject | undefined;
  /** Sorted by namespace and name. */
  list(resource: Resource): readonly KubeObject[];
  /** Gives uid, creationTimestamp and a version. @throws ApiError 409 */
  create(resource: Resource, object: KubeObject): KubeObject;
  /** The object's resourceVersion, when it has one, must be the current one. No change: no new version. @throws ApiError 404, 409 */
  update(resource: Resource, object: KubeObject): KubeObject;
  /** @throws ApiError 404 */
  delete(resource: Resource, namespace: string | undefined, name: string): KubeObject;
  /** Changes after a version, oldest first. */
  changesSince(resource: Resource, version: number): readonly Change[];
  subscribe(resource: Resource, subscriber: Subscriber): () => void;
  /** Forgets the history of every resource: every version given out so far is too old to watch from. */
  compact(): void;
  /** JSON of the object without kind and apiVersion, as items of a list are written. Cached. */
  itemText(object: KubeObject): string;
  /** JSON of the object. */
  text(object: KubeObject): string;
}

interface Table {
  readonly objects: Map<string, KubeObject>;
  sorted: readonly KubeObject[] | undefined;
  history: Change[];
  oldest: number;
  readonly subscribers: Set<Subscriber>;
}

/** @param historyLimit changes kept for each resource */
export function createStore(historyLimit: number): Store {
  let version = 1;
  const tables = new Map<string, Table>();
  const texts = new WeakMap<KubeObject, string>();

  function tableOf(resource: Resource): Table {
    const name = resourceName(resource);
    let table = tables.get(name);
    if (!table) {
      table = { objects: new Map(), sorted: undefined, history: [], oldest: 1, subscribers: new Set() };
      tables.set(name, table);
    }
    return table;
  }

  const keyOf = (namespace: string | undefined, name: string) => `${namespace ?? ''}/${name}`;
  const keyOfObject = (object: KubeObject) => keyOf(object.metadata.namespace, object.metadata.name);

  function record(table: Table, change: Change): void {
    table.sorted = undefined;
    table.history.push(change);
    if (table.history.length > historyLimit * 2) {
      table.history = table.history.slice(-historyLimit);
      table.oldest = table.history[0]?.version ?? version;
    }
    for (const subscriber of [...table.subscribers]) subscriber(change);
  }

  function itemText(object: KubeObject): string {
    let text = texts.get(object);
    if (text === undefined) {
      const { kind: _kind, apiVersion: _apiVersion, ...rest } = object;
      text = JSON.stringify(rest);
      texts.set(object, text);
    }
    return text;
  }

  /** In the order of the API's own answers; metadata is copied, the rest is shared. */
  function stamped(object: KubeObject, metadata: Partial<Metadata>): KubeObject {
    const { kind, apiVersion, metadata: given, ...rest } = object;
    const merged = Object.entries({ ...given, ...metadata });
    return {
      kind,
      apiVersion,
      metadata: Object.fromEntries(merged.filter(([, v]) => v !== undefined)) as unknown as Metadata,
      ...rest,
    };
  }

  return {
    get version() {
      return version;
    },
    oldest: (resource) => tableOf(resource).oldest,
    get: (resource, namespace, name) => tableOf(resource).objects.get(keyOf(namespace, name)),
    list(resource) {
      const table = tableOf(resource);
      table.sorted ??= [...table.objects.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object);
      return table.sorted;
    },
    create(resource, object) {
      const table = tableOf(resource);
      const key = keyOfObject(object);
      if (table.objects.has(key)) throw alreadyExists(resource.plural, object.metadata.name);
      version++;
      const created = stamped(object, {
        uid: object.metadata.uid ?? randomUUID(),
        resourceVersion: String(version),
        creationTimestamp: object.metadata.creationTimestamp ?? `${new Date().toISOString().slice(0, 19)}Z`,
        ...(resource.generation ? { generation: 1 } : {}),
      });
      table.objects.set(key, created);
      record(table, { type: 'ADDED', version, object: created, previous: undefined });
      return created;
    },
    update(resource, object) {
      const table = tableOf(resource);
      const key = keyOfObject(object);
      const previous = table.objects.get(key);
      if (!previous) throw notFound(resource.plural, object.metadata.name);
      const expected = object.metadata.resourceVersion;
      if (expected !== undefined && expected !== previous.metadata.resourceVersion) {
        throw conflict(resource.plural, object.metadata.name);
      }
      const { uid, creationTimestamp, generation, resourceVersion } = previous.metadata;
      const next = stamped(object, { uid, creationTimestamp, generation, resourceVersion });
      if (isDeepStrictEqual(next, previous)) return previous;
      version++;
      next.metadata.resourceVersion = String(version);
      const specStays = resource.status && isDeepStrictEqual(next.spec, previous.spec);
      if (resource.generation && !specStays) next.metadata.generation = (generation ?? 0) + 1;
      table.objects.set(key, next);
      record(table, { type: 'MODIFIED', version, object: next, previous });
      return next;
    },
    delete(resource, namespace, name) {
      const table = tableOf(resource);
      const key = keyOf(namespace, name);
      const previous = table.objects.get(key);
      if (!previous) throw notFound(resource.plural, name);
      version++;
      table.objects.delete(key);
      const object = stamped(previous, { resourceVersion: String(version) });
      record(table, { type: 'DELETED', version, object, previous });
      return object;
    },
    changesSince: (resource, since) => tableOf(resource).history.filter((change) => change.version > since),
    subscribe(resource, subscriber) {
      const { subscribers } = tableOf(resource);
      subscribers.add(subscriber);
      return () => subscribers.delete(subscriber);
    },
    compact() {
      version++;
      for (const table of tables.values()) {
        table.history = [];
        table.oldest = version + 1;
      }
    },
    itemText,
    text: (object) =>
      `{"kind":${JSON.stringify(object.kind)},"apiVersion":${JSON.stringify(object.apiVersion)},${itemText(object).slice(1)}`,
  };
}
