/**
 * What was delivered so far, so that a relist arrives as the least events and a repeated
 * watch event as none. Keeps a key and a version for each object, not the object.
 */
import { type KubernetesObject, objectKey } from '../model/kubernetes.ts';
import type { ObjectEvent } from '../model/source.ts';

export interface Known<T> {
  /** @returns the events that lead from what was delivered to exactly these objects. */
  replace(objects: readonly T[]): ObjectEvent<T>[];
  /** @returns the event to deliver, or undefined when nothing changes. */
  set(object: T): ObjectEvent<T> | undefined;
  delete(object: T): ObjectEvent<T> | undefined;
  /** Would the list take much away? @returns what, for people */
  doubt(objects: readonly T[]): string | undefined;
  readonly size: number;
}

/** Fewer than so many may go in one list, unless they are all. */
const MANY = 50;

/** uid and resourceVersion; undefined when the object carries no version: such an object always counts as changed. */
function versionOf(object: KubernetesObject): string | undefined {
  const { uid, resourceVersion } = object.metadata ?? {};
  return resourceVersion === undefined ? undefined : `${uid ?? ''}/${resourceVersion}`;
}

export function createKnown<T extends KubernetesObject>(): Known<T> {
  let versions = new Map<string, string | undefined>();

  return {
    replace(objects) {
      const next = new Map<string, string | undefined>();
      const events: ObjectEvent<T>[] = [];
      for (const object of objects) {
        const key = objectKey(object);
        const version = versionOf(object);
        if (version === undefined || versions.get(key) !== version) events.push({ type: 'set', key, object });
        next.set(key, version);
      }
      const deletions: ObjectEvent<T>[] = [];
      for (const key of versions.keys()) if (!next.has(key)) deletions.push({ type: 'delete', key });
      versions = next;
      return deletions.length > 0 ? [...deletions, ...events] : events;
    },
    set(object) {
      const key = objectKey(object);
      const version = versionOf(object);
      if (version !== undefined && versions.get(key) === version) return undefined;
      versions.set(key, version);
      return { type: 'set', key, object };
    },
    delete(object) {
      const key = objectKey(object);
      return versions.delete(key) ? { type: 'delete', key } : undefined;
    },
    doubt(objects) {
      const before = versions.size;
      if (before === 0) return undefined;
      if (objects.length === 0) return `the list is empty, and there were ${before}`;
      if (before < MANY) return undefined;
      const left = new Set(objects.map(objectKey).filter((key) => versions.has(key))).size;
      return left * 2 < before ? `the list has ${left} of ${before} objects that there were` : undefined;
    },
    get size() {
      return versions.size;
    },
  };
}
