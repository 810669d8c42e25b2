/** One HTTP request: who, what, may they, and the answer. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { authenticate, authorize, type User } from './auth.ts';
import type { createCounters } from './counters.ts';
import { discover } from './discovery.ts';
import { ApiError, badRequest, notFound } from './errors.ts';
import type { FaultState } from './faults.ts';
import type { Lists } from './lists.ts';
import type { Objects } from './objects.ts';
import { parseJson, patchObject } from './patch.ts';
import { decodeProtobuf } from './protobuf.ts';
import { parseRequest, type RequestInfo } from './request.ts';
import { apiVersionOf, type KubeObject, resourceName } from './resources.ts';
import { parseSelectors } from './selector.ts';
import type { Store } from './store.ts';
import { createStream } from './stream.ts';
import { toTable, wantsTable } from './tables.ts';
import { serveWatch } from './watch.ts';

export interface HandlerState {
  readonly store: Store;
  readonly objects: Objects;
  readonly lists: Lists;
  readonly faults: FaultState;
  readonly counters: ReturnType<typeof createCounters>;
  readonly users: readonly User[];
  readonly bookmarkMs: number;
}

const BODY_LIMIT = 3 * 1024 * 1024;

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_LIMIT) throw new ApiError(413, 'RequestEntityTooLarge', 'limit is 3145728');
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks);
  const isProtobuf = request.headers['content-type']?.startsWith('application/vnd.kubernetes.protobuf');
  return isProtobuf ? JSON.stringify(decodeProtobuf(body)) : body.toString('utf8');
}

function sendText(
  response: ServerResponse,
  code: number,
  text: string,
  headers: Record<string, string | number> = {},
): void {
  const body = Buffer.from(text);
  response.writeHead(code, { 'content-type': 'application/json', 'content-length': body.length, ...headers });
  response.end(body);
}

function sendError(response: ServerResponse, error: unknown): void {
  const refusal =
    error instanceof ApiError ? error : new ApiError(500, 'InternalError', String((error as Error)?.stack ?? error));
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const retry = refusal.retryAfterSeconds;
  sendText(
    response,
    refusal.code,
    JSON.stringify(refusal.toStatus()),
    retry === undefined ? {} : { 'retry-after': retry },
  );
}

/** Never rejects. */
export async function handle(state: HandlerState, request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    await route(state, request, response);
  } catch (error) {
    sendError(response, error);
  }
}

async function route(state: HandlerState, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (state.faults.frozen) return;
  const url = new URL(request.url ?? '/', 'https://apiserver');
  if (/^\/(healthz|livez|readyz)$/.test(url.pathname))
    return sendText(response, 200, 'ok', { 'content-type': 'text/plain' });
  const user = authenticate(request, state.users);
  const document = request.method === 'GET' ? discover(url.pathname) : undefined;
  if (document) return sendText(response, 200, JSON.stringify(document));
  const info = parseRequest(request.method ?? 'GET', url);
  if (!info) throw new ApiError(404, 'NotFound', 'the server could not find the requested resource');
  state.counters.add(info, user.name);
  const fault = state.faults.meet(info);
  if (fault) {
    if (fault.status === undefined) return;
    if (fault.body !== undefined) return sendText(response, fault.status, fault.body);
    throw new ApiError(fault.status, 'InternalError', 'injected fault', undefined, fault.retryAfterSeconds);
  }
  authorize(user, info);
  if (info.query.has('dryRun')) throw badRequest('dryRun is not supported');
  switch (info.verb) {
    case 'watch':
      return watch(state, info, request, response);
    case 'list':
      return list(state, info, request, response);
    default:
      return await single(state, info, request, response);
  }
}

function watch(state: HandlerState, info: RequestInfo, request: IncomingMessage, response: ServerResponse): void {
  const { faults } = state;
  const stream = createStream(resourceName(info.resource), response, () => faults.pieceBytes);
  // The object at a name is watched as a selection of one.
  if (info.name !== undefined) info.query.set('fieldSelector', `metadata.name=${info.name}`);
  serveWatch(state.store, info, response, stream, {
    table: wantsTable(request.headers.accept),
    bookmarkMs: state.bookmarkMs,
  });
  faults.streams.add(stream);
  stream.onClose(() => faults.streams.delete(stream));
}

function list(
  { lists, store }: HandlerState,
  info: RequestInfo,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const { items, metadata } = lists.list(info);
  if (wantsTable(request.headers.accept)) {
    const table = toTable(info.resource, items, info.query.get('includeObject') ?? 'Metadata', metadata);
    sendText(response, 200, JSON.stringify(table));
    return;
  }
  const head = JSON.stringify({ kind: `${info.resource.kind}List`, apiVersion: apiVersionOf(info.resource), metadata });
  sendText(response, 200, `${head.slice(0, -1)},"items":[${items.map((item) => store.itemText(item)).join(',')}]}`);
}

async function single(
  state: HandlerState,
  info: RequestInfo,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { store } = state;
  const body = request.method === 'GET' ? '' : await readBody(request);
  const { code, object } = perform(state, info, body, request.headers['content-type'] ?? '');
  if (object.kind !== 'Status' && wantsTable(request.headers.accept)) {
    const table = toTable(info.resource, [object], info.query.get('includeObject') ?? 'Metadata', {});
    return sendText(response, code, JSON.stringify(table));
  }
  sendText(response, code, object.kind === 'Status' ? JSON.stringify(object) : store.text(object));
}

function perform(
  state: HandlerState,
  info: RequestInfo,
  body: string,
  contentType: string,
): { code: number; object: KubeObject } {
  const { store, objects } = state;
  const { resource, namespace, name = '', subresource } = info;
  const part = subresource === 'status' ? 'status' : 'spec';
  const current = info.name === undefined ? undefined : store.get(resource, namespace, name);
  switch (info.verb) {
    case 'create':
      return { code: 201, object: objects.create(resource, namespace, parseJson(body)) };
    case 'update':
      return { code: 200, object: objects.update(resource, namespace, name, parseJson(body), part) };
    case 'patch': {
      const patched = patchObject(resource, contentType, body, current);
      if (current) return { code: 200, object: objects.update(resource, namespace, name, patched, part) };
      if (!contentType.startsWith('application/apply-patch+yaml')) throw notFound(resource.plural, name);
      return {
        code: 201,
        object: objects.create(resource, namespace, { ...patched, metadata: { ...patched.metadata, name } }),
      };
    }
    case 'delete':
      return { code: 200, object: deleted(state, info, body) };
    case 'deletecollection': {
      const matches = parseSelectors(info.query, namespace);
      const found = store.list(resource).filter(matches);
      for (const object of found) objects.remove(resource, object.metadata.namespace, object.metadata.name);
      return { code: 200, object: success(info, found[0]) };
    }
    default:
      if (!current) throw notFound(resource.plural, name);
      return { code: 200, object: current };
  }
}

function deleted({ store, objects }: HandlerState, info: RequestInfo, body: string): KubeObject {
  const { resource, namespace, name = '' } = info;
  const current = store.get(resource, namespace, name);
  const conditions = body === '' ? undefined : parseJson(body)?.preconditions;
  if (current && conditions?.uid !== undefined && conditions.uid !== current.metadata.uid) {
    throw new ApiError(409, 'Conflict', `Precondition failed: UID in precondition: ${conditions.uid}`);
  }
  const object = objects.remove(resource, namespace, name);
  return object.metadata.finalizers?.length ? object : success(info, object);
}

function success({ resource }: RequestInfo, object: KubeObject | undefined): KubeObject {
  const details = { name: object?.metadata.name, kind: resource.plural, uid: object?.metadata.uid };
  return { kind: 'Status', apiVersion: 'v1', metadata: {} as KubeObject['metadata'], status: 'Success', details };
}
