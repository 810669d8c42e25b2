/** One watch request: from its start to its end, whatever ends it. */
import type { KubernetesObject } from '../model/kubernetes.ts';
import type { ApiClient, ApiResponse } from './client.ts';
import { faultOf, type RequestFault, toFault } from './fault.ts';
import { createLineSplitter } from './lines.ts';
import { hasName } from './strip.ts';
import { isOlder } from './version.ts';

export interface WatchChange<T> {
  readonly type: 'set' | 'delete';
  readonly object: T;
}

export interface WatchRequest<T> {
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  /** The state to go on from. */
  readonly resourceVersion: string;
  readonly timeoutSeconds: number;
  readonly inactivityMs: number;
  readonly headersMs: number;
  readonly maxLineBytes: number;
  /** Called at the response's headers. */
  readonly opened: () => void;
  /** Called once a chunk that holds something; `changes` is empty when there were bookmarks alone. */
  readonly changed: (changes: WatchChange<T>[], resourceVersion: string) => void;
  readonly signal: AbortSignal;
}

/** `again`: watch on from the last resourceVersion. `relist`: that version is of no more use. */
export type WatchEnd =
  | { readonly next: 'again'; readonly fault: RequestFault | undefined }
  | { readonly next: 'relist'; readonly fault: RequestFault };

/** The server refuses the version (410), the request (400), or knows no version that new (504). */
const RELIST_STATUSES: ReadonlySet<number> = new Set([400, 410, 504]);

/** Never rejects. */
export async function watchOnce<T extends KubernetesObject>(
  client: ApiClient,
  request: WatchRequest<T>,
): Promise<WatchEnd> {
  const query = {
    ...request.query,
    watch: 'true',
    allowWatchBookmarks: 'true',
    resourceVersion: request.resourceVersion,
    timeoutSeconds: String(request.timeoutSeconds),
  };
  let response: ApiResponse;
  try {
    response = await client.get(request.path, query, request);
  } catch (error) {
    return { next: 'again', fault: toFault(error) };
  }
  if (response.status !== 200) {
    const fault = await faultOf(response);
    return { next: RELIST_STATUSES.has(response.status) ? 'relist' : 'again', fault };
  }
  request.opened();
  return await readEvents(client, response, request);
}

function readEvents<T extends KubernetesObject>(
  client: ApiClient,
  response: ApiResponse,
  request: WatchRequest<T>,
): Promise<WatchEnd> {
  const splitter = createLineSplitter(request.maxLineBytes);
  const { body } = response;
  let version = request.resourceVersion;

  return new Promise((resolve) => {
    const finish = (end: WatchEnd) => {
      body.off('data', onData);
      body.destroy();
      resolve(end);
    };
    const onData = (chunk: Buffer) => {
      client.heard();
      const changes: WatchChange<T>[] = [];
      let seen = false;
      let end: WatchEnd | undefined;
      try {
        for (const line of splitter.push(chunk)) {
          const event = parseEvent<T>(line);
          if ('status' in event) {
            end = endOf(event.status);
            break;
          }
          const next = event.object.metadata?.resourceVersion;
          if (event.type === 'bookmark' && isOlder(next, version)) {
            end = {
              next: 'relist',
              fault: toFault(`the server's state is older (${next}) than what was seen (${version})`),
            };
            break;
          }
          // Some servers send a DELETED object with the version of its last change.
          if (next !== undefined && !isOlder(next, version)) version = next;
          seen = true;
          if (event.type !== 'bookmark') changes.push({ type: event.type, object: event.object });
        }
      } catch (error) {
        end = { next: 'relist', fault: toFault(error) };
      }
      if (seen) request.changed(changes, version);
      if (end !== undefined) finish(end);
    };
    body.on('data', onData);
    body.on('end', () => finish({ next: 'again', fault: undefined }));
    body.on('error', (error) => finish({ next: 'again', fault: toFault(error) }));
    body.on('close', () => finish({ next: 'again', fault: undefined }));
  });
}

type Parsed<T> = { type: 'set' | 'delete' | 'bookmark'; object: T } | { status: { code?: unknown; message?: unknown } };

function parseEvent<T extends KubernetesObject>(line: string): Parsed<T> {
  let event: { type?: unknown; object?: unknown } | null;
  try {
    event = JSON.parse(line);
  } catch (error) {
    throw new Error('a watch line is not JSON', { cause: error });
  }
  const object = event?.object;
  if (typeof object !== 'object' || object === null) throw new Error('a watch event has no object');
  switch (event?.type) {
    case 'ERROR':
      return { status: object };
    case 'BOOKMARK':
      return { type: 'bookmark', object: object as T };
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
      if (!hasName(object)) throw new Error('a watched object has no name');
      return { type: event.type === 'DELETED' ? 'delete' : 'set', object: object as T };
    default:
      throw new Error(`a watch event has type ${JSON.stringify(event?.type)?.slice(0, 40)}`);
  }
}

/** An ERROR event: an overloaded or broken server keeps the version good, everything else does not. */
function endOf(status: { code?: unknown; message?: unknown }): WatchEnd {
  const code = typeof status.code === 'number' ? status.code : 0;
  const fault = toFault(`watch error ${code}: ${String(status.message).slice(0, 500)}`);
  return { next: code === 429 || code === 500 ? 'again' : 'relist', fault };
}
