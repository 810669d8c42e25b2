/** List requests: versions, pages of one snapshot, selectors. */
import { ApiError, badRequest, expired } from './errors.ts';
import type { RequestInfo } from './request.ts';
import { type KubeObject, type Resource, resourceName } from './resources.ts';
import { parseSelectors } from './selector.ts';
import type { Store } from './store.ts';

export interface ListPage {
  readonly items: readonly KubeObject[];
  readonly metadata: { resourceVersion: string; continue?: string; remainingItemCount?: number };
}

export interface Lists {
  /** @throws ApiError 400, 410, 504 */
  list(info: RequestInfo): ListPage;
  /** Forgets the snapshots: continue tokens expire. */
  forget(): void;
}

const SNAPSHOTS = 64;

export function parseVersion(text: string | null): number | undefined {
  if (text === null || text === '') return undefined;
  if (!/^\d+$/.test(text)) throw badRequest(`resourceVersion: Invalid value: "${text}"`);
  return Number(text);
}

const keyOf = (object: KubeObject) => `${object.metadata.namespace ?? ''}/${object.metadata.name}`;

export function createLists(store: Store): Lists {
  const snapshots = new Map<string, readonly KubeObject[]>();

  function keep(resource: Resource, version: number, objects: readonly KubeObject[]): void {
    snapshots.set(`${resourceName(resource)}@${version}`, objects);
    for (const old of snapshots.keys()) {
      if (snapshots.size <= SNAPSHOTS) break;
      snapshots.delete(old);
    }
  }

  /** The collection as it was: later changes are undone, from the last to the first. */
  function at(resource: Resource, version: number): readonly KubeObject[] {
    const kept = snapshots.get(`${resourceName(resource)}@${version}`);
    if (kept) return kept;
    if (version < store.oldest(resource) - 1) throw expired(`The provided resource version ${version} is too old`);
    const objects = new Map(store.list(resource).map((object) => [keyOf(object), object]));
    for (const change of [...store.changesSince(resource, version)].reverse()) {
      if (change.previous === undefined) objects.delete(keyOf(change.object));
      else objects.set(keyOf(change.previous), change.previous);
    }
    return [...objects.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object);
  }

  function start(
    { resource, query }: RequestInfo,
    limit: number,
  ): { version: number; after: string; objects: readonly KubeObject[] } {
    const version = parseVersion(query.get('resourceVersion'));
    const match = query.get('resourceVersionMatch');
    const token = query.get('continue');
    if (token) {
      if (version !== undefined && version !== 0) throw badRequest('resourceVersion is forbidden with continue');
      const { v, k } = decodeToken(token);
      const objects = snapshots.get(`${resourceName(resource)}@${v}`);
      if (!objects) throw expired('The provided continue parameter is too old to display a consistent list result');
      return { version: v, after: k, objects };
    }
    if (match !== null && version === undefined)
      throw badRequest('resourceVersionMatch is forbidden unless resourceVersion is provided');
    if (version !== undefined && version > store.version) {
      const causes = [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }];
      const message = `Timeout: Too large resource version: ${version}, current: ${store.version}`;
      throw new ApiError(504, 'Timeout', message, { causes, retryAfterSeconds: 1 }, 1);
    }
    const exact = match === 'Exact' || (match === null && limit > 0 && version !== undefined && version > 0);
    if (exact && version !== undefined) return { version, after: '', objects: at(resource, version) };
    return { version: store.version, after: '', objects: store.list(resource) };
  }

  return {
    list(info) {
      const limit = Number(info.query.get('limit') ?? 0);
      if (!Number.isInteger(limit) || limit < 0) throw badRequest('limit: Invalid value');
      const { version, after, objects } = start(info, limit);
      const matches = parseSelectors(info.query, info.namespace);
      const found = objects.filter((object) => matches(object) && keyOf(object) > after);
      const metadata: ListPage['metadata'] = { resourceVersion: String(version) };
      if (limit === 0 || found.length <= limit) return { items: found, metadata };
      const items = found.slice(0, limit);
      keep(info.resource, version, objects);
      metadata.continue = encodeToken({ v: version, k: keyOf(items.at(-1) as KubeObject) });
      if (!info.query.has('labelSelector') && !info.query.has('fieldSelector'))
        metadata.remainingItemCount = found.length - limit;
      return { items, metadata };
    },
    forget: () => snapshots.clear(),
  };
}

interface Token {
  /** The snapshot's version. */
  v: number;
  /** Key of the last object sent. */
  k: string;
}

const encodeToken = (token: Token) => Buffer.from(JSON.stringify(token)).toString('base64url');

function decodeToken(text: string): Token {
  try {
    return JSON.parse(Buffer.from(text, 'base64url').toString());
  } catch {
    throw badRequest('continue key is not valid');
  }
}
