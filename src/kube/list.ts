/** Lists a collection page by page. */
import type { KubernetesObject } from '../model/kubernetes.ts';
import type { ApiClient } from './client.ts';
import { faultOf, RequestFault } from './fault.ts';
import { hasName } from './strip.ts';

export interface ListRequest<T> {
  readonly path: string;
  /** labelSelector, fieldSelector */
  readonly query: Readonly<Record<string, string>>;
  /** Objects a page. */
  readonly pageSize: number;
  /** The list may be no older than this; `0`: any state the server has at hand; undefined: the newest. */
  readonly notOlderThan: string | undefined;
  readonly inactivityMs: number;
  readonly maxPageBytes: number;
  /** Called for each object as it is decoded. */
  readonly strip: (object: T) => T;
  readonly signal: AbortSignal;
}

export interface ListResult<T> {
  readonly items: T[];
  readonly resourceVersion: string;
}

interface Page<T> {
  metadata?: { resourceVersion?: string; continue?: string };
  items: T[];
}

/** @throws RequestFault with the HTTP status, or whatever the connection failed with */
export async function listAll<T extends KubernetesObject>(
  client: ApiClient,
  request: ListRequest<T>,
): Promise<ListResult<T>> {
  const items: T[] = [];
  const query: Record<string, string> = { ...request.query, limit: String(request.pageSize) };
  if (request.notOlderThan !== undefined) {
    query.resourceVersion = request.notOlderThan;
    query.resourceVersionMatch = 'NotOlderThan';
  }
  for (;;) {
    const page = await getPage<T>(client, request, query);
    for (const object of page.items) if (hasName(object)) items.push(request.strip(object as T));
    const token = page.metadata?.continue;
    const version = page.metadata?.resourceVersion;
    if (!token && !version) throw new RequestFault('a list has no resourceVersion');
    if (!token) return { items, resourceVersion: version ?? '' };
    delete query.resourceVersion;
    delete query.resourceVersionMatch;
    query.continue = token;
  }
}

/** The version of the server's newest state, from one small request. @throws as listAll */
export async function newestVersion(
  client: ApiClient,
  request: Pick<ListRequest<unknown>, 'path' | 'query' | 'inactivityMs' | 'maxPageBytes' | 'signal'> & {
    readonly headersMs: number;
  },
): Promise<string | undefined> {
  const page = await getPage(client, request, { ...request.query, limit: '1' });
  return page.metadata?.resourceVersion;
}

async function getPage<T>(
  client: ApiClient,
  request: Pick<ListRequest<T>, 'path' | 'inactivityMs' | 'maxPageBytes' | 'signal'> & { readonly headersMs?: number },
  query: Readonly<Record<string, string>>,
): Promise<Page<T>> {
  const response = await client.get(request.path, query, request);
  if (response.status !== 200) throw await faultOf(response);
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response.body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > request.maxPageBytes)
      throw new RequestFault(`a list page is longer than ${request.maxPageBytes} bytes`);
    chunks.push(chunk);
    client.heard();
  }
  let page: unknown;
  try {
    page = JSON.parse(Buffer.concat(chunks, bytes).toString('utf8'));
  } catch (error) {
    throw new RequestFault('a list page is not JSON', undefined, undefined, { cause: error });
  }
  if (typeof page !== 'object' || page === null) throw new RequestFault('a list page is not an object');
  // An answer of something else in between, not an empty cluster.
  const { items, kind } = page as Partial<Page<T>> & { kind?: unknown };
  if (!Array.isArray(items))
    throw new RequestFault(`what came is no list: ${typeof kind === 'string' ? `a ${kind}` : 'it has no items'}`);
  return page as Page<T>;
}
