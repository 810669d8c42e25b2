/** Watch requests: a stream of changes, from a version on. */
import type { ServerResponse } from 'node:http';
import { ApiError, expired } from './errors.ts';
import { parseVersion } from './lists.ts';
import type { RequestInfo } from './request.ts';
import { apiVersionOf, type KubeObject, type Resource } from './resources.ts';
import { parseSelectors } from './selector.ts';
import type { Change, Store } from './store.ts';
import type { Stream } from './stream.ts';
import { toTable } from './tables.ts';

export interface WatchOptions {
  /** As Table rows, for `kubectl get -w`. */
  readonly table: boolean;
  /** Time between bookmarks, in ms. */
  readonly bookmarkMs: number;
}

type EventType = Change['type'];

/**
 * Starts the stream; it ends after the request's timeoutSeconds or when the client goes.
 * @throws ApiError for a request that is refused before the stream starts
 */
export function serveWatch(
  store: Store,
  info: RequestInfo,
  response: ServerResponse,
  stream: Stream,
  options: WatchOptions,
): void {
  const { resource, query } = info;
  const since = parseVersion(query.get('resourceVersion'));
  const matches = parseSelectors(query, info.namespace);
  if (query.has('sendInitialEvents')) {
    throw new ApiError(
      422,
      'Invalid',
      'sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled',
    );
  }
  const send = (type: EventType, object: KubeObject): void => {
    if (!options.table) stream.write(`{"type":"${type}","object":${store.text(object)}}\n`);
    else stream.write(`${JSON.stringify({ type, object: tableOf(resource, object, query) })}\n`);
  };
  const onChange = (change: Change): void => {
    const before = change.previous !== undefined && matches(change.previous);
    const after = change.type !== 'DELETED' && matches(change.object);
    if (after) send(before ? 'MODIFIED' : 'ADDED', change.object);
    else if (before)
      send(
        'DELETED',
        change.type === 'DELETED' ? change.object : withVersion(change.previous as KubeObject, change.version),
      );
  };
  const bookmark = (): void => {
    const object = {
      kind: resource.kind,
      apiVersion: apiVersionOf(resource),
      metadata: { resourceVersion: String(store.version), creationTimestamp: null },
    };
    stream.write(`${JSON.stringify({ type: 'BOOKMARK', object })}\n`);
  };

  response.writeHead(200, { 'content-type': 'application/json' });
  response.flushHeaders();
  if (since === undefined || since === 0)
    for (const object of store.list(resource)) if (matches(object)) send('ADDED', object);
  if (since !== undefined && since > 0) {
    if (since < store.oldest(resource) - 1) {
      stream.write(errorEvent(expired(`too old resource version: ${since} (${store.oldest(resource)})`)));
      stream.end();
      return;
    }
    for (const change of store.changesSince(resource, since)) onChange(change);
  }
  // A version of the future is waited for, in silence, as real servers do.
  const unsubscribe = store.subscribe(resource, (change) => {
    if (change.version > (since ?? 0)) onChange(change);
  });
  const timers: NodeJS.Timeout[] = [];
  if (query.get('allowWatchBookmarks') === 'true') {
    stream.bookmark = () => {
      if (store.version >= (since ?? 0)) bookmark();
    };
    timers.push(setInterval(() => stream.bookmark?.(), options.bookmarkMs));
  }
  const seconds = Number(query.get('timeoutSeconds') ?? 0) || 1800 + Math.random() * 1800;
  timers.push(
    setTimeout(() => {
      stream.bookmark?.();
      stream.end();
    }, seconds * 1000),
  );
  stream.onClose(() => {
    unsubscribe();
    for (const timer of timers) clearTimeout(timer);
  });
}

export function errorEvent(error: ApiError): string {
  return `${JSON.stringify({ type: 'ERROR', object: error.toStatus() })}\n`;
}

/** An object that leaves the selection is sent as it was, with the version of the change. */
function withVersion(object: KubeObject, version: number): KubeObject {
  return { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } };
}

function tableOf(resource: Resource, object: KubeObject, query: URLSearchParams): KubeObject {
  return toTable(resource, [object], query.get('includeObject') ?? 'Metadata', {
    resourceVersion: object.metadata.resourceVersion,
  });
}
