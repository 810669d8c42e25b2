/** What a change of a manifest file did, in a line for people. */
import { isDeepStrictEqual } from 'node:util';
import { type KubernetesObject, objectKey } from '../model/kubernetes.ts';

const NAMES_IN_WORDS = 8;

/** @returns e.g. `Service default/web` or `Node n1`. */
export function nameOfObject(object: KubernetesObject): string {
  return `${object.kind} ${object.metadata?.namespace ? objectKey(object) : object.metadata?.name}`;
}

/** @returns e.g. `added Service default/web; removed EndpointSlice default/web-1`; "no object differs". */
export function changesText(before: readonly KubernetesObject[], after: readonly KubernetesObject[]): string {
  const old = byName(before);
  const now = byName(after);
  const parts = [
    namesText(
      'added',
      [...now.keys()].filter((name) => !old.has(name)),
    ),
    namesText(
      'changed',
      [...now].flatMap(([name, object]) => (old.has(name) && !isDeepStrictEqual(old.get(name), object) ? [name] : [])),
    ),
    namesText(
      'removed',
      [...old.keys()].filter((name) => !now.has(name)),
    ),
  ].filter((part) => part !== '');
  return parts.join('; ') || 'no object differs';
}

function byName(objects: readonly KubernetesObject[]): Map<string, KubernetesObject> {
  const named = new Map<string, KubernetesObject>();
  // Of two with one name the first is taken.
  for (const object of objects) if (!named.has(nameOfObject(object))) named.set(nameOfObject(object), object);
  return named;
}

function namesText(what: string, names: readonly string[]): string {
  if (names.length === 0) return '';
  const more = names.length - NAMES_IN_WORDS;
  return `${what} ${names.slice(0, NAMES_IN_WORDS).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

/** @returns e.g. `2 Service, 1 Node`. */
export function countsText(counts: ReadonlyMap<string, number>): string {
  return [...counts].map(([kind, count]) => `${count} ${kind}`).join(', ');
}

/** How many of each kind, in the order in which the kinds come. */
export function countKinds(objects: Iterable<KubernetesObject>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { kind = '' } of objects) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return counts;
}
