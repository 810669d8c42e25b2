/**
 * Keeps a copy of one collection equal to the API server's: list, watch, and again, for ever. Every
 * way a request can end leads to one of two next steps, watch on or relist, after a wait that grows
 * while nothing works.
 */
import type { KubernetesObject } from '../model/kubernetes.ts';
import type { SourceListener } from '../model/source.ts';
import { createBackoff, sleep } from './backoff.ts';
import type { ApiClient } from './client.ts';
import { type RequestFault, toFault } from './fault.ts';
import { listAll, newestVersion } from './list.ts';
import { isRefusal, type Outage } from './outage.ts';
import type { ReflectorOptions } from './reflector-options.ts';
import { isOlder } from './version.ts';
import { type WatchChange, watchOnce } from './watch.ts';

export interface Collection<T> {
  /** For messages: the resource's plural. */
  readonly name: string;
  readonly path: string;
  /** labelSelector, fieldSelector */
  readonly query: Readonly<Record<string, string>>;
  readonly strip: (object: T) => T;
  /** The whole collection. */
  readonly replaced: (objects: T[]) => void;
  /** @returns why a whole collection is asked for once more before it is believed: it takes much away */
  readonly doubt?: (objects: readonly T[]) => string | undefined;
  /** Changes of one chunk of the watch, in order. */
  readonly changed: (changes: WatchChange<T>[]) => void;
  /** A collection that older servers lack, or that the role may not read: what is missing without it. */
  readonly optional?: { readonly without: string; readonly refused: () => void };
}

/** Milliseconds between two looks for other credentials, while those that were shown are refused. */
const CREDENTIALS_MS = 500;

/** Runs until the signal aborts. Calls of `collection` are synchronous and ordered. */
export async function reflect<T extends KubernetesObject>(
  client: ApiClient,
  collection: Collection<T>,
  outage: Outage,
  report: SourceListener['problem'],
  options: ReflectorOptions,
  signal: AbortSignal,
): Promise<void> {
  const { path, query, strip } = collection;
  const { inactivityMs, headersMs, maxLineBytes, maxPageBytes, pageSize } = options;
  const backoff = createBackoff(options.backoff);
  /** What the watch goes on from; undefined: list first. */
  let version: string | undefined;
  /** What the next list may not be older than; undefined: ask for the newest. */
  let notOlderThan: string | undefined = '0';
  /** What was doubtful of the last list; the next one is believed. */
  let doubted: string | undefined;
  /** The server was out of reach: it may come back with a state from a backup. */
  let wasGone = false;

  async function wait(fault: RequestFault | undefined): Promise<void> {
    const ms = backoff.next(fault?.retryAfterMs);
    options.log?.('reflector waits', { collection: collection.name, ms: Math.round(ms), reason: fault?.message });
    if (fault?.status !== 401) return sleep(ms, signal);
    const until = performance.now() + ms;
    const token = client.fileToken();
    while (!signal.aborted && performance.now() < until && client.fileToken() === token)
      await sleep(Math.min(CREDENTIALS_MS, until - performance.now()), signal);
  }

  /** @returns whether a list is believed: one that takes much away only when a second one says the same. */
  async function believe(items: readonly T[]): Promise<boolean> {
    const doubt = collection.doubt?.(items);
    const before = doubted;
    doubted = before === undefined ? doubt : undefined;
    const { name: object } = collection;
    if (before !== undefined)
      report({ object, message: doubt === undefined ? `the list before was wrong: ${before}` : `${doubt}: confirmed` });
    if (before !== undefined || doubt === undefined) return true;
    report({ object, message: `${doubt}: listing once more before that is believed` });
    relist();
    await sleep(options.confirmMs, signal);
    return false;
  }

  async function list(): Promise<void> {
    try {
      const result = await listAll<T>(client, {
        path,
        query,
        pageSize,
        notOlderThan,
        inactivityMs,
        maxPageBytes,
        strip,
        signal,
      });
      if (signal.aborted) return;
      outage.worked(collection.name);
      wasGone = false;
      if (!(await believe(result.items)) || signal.aborted) return;
      version = result.resourceVersion;
      collection.replaced(result.items);
    } catch (error) {
      if (signal.aborted) return;
      // A version that the server cannot serve, or a continue token that expired: the newest always exists.
      notOlderThan = undefined;
      const fault = toFault(error);
      outage.failed(collection.name, fault, collection.optional?.without);
      if (collection.optional !== undefined && isRefusal(fault)) {
        collection.optional.refused();
        await sleep(options.refusedMs, signal);
      } else await wait(fault);
    }
  }

  /** A server that went back in time would never tell a watch from its future: relist then. */
  async function compare(from: string): Promise<void> {
    try {
      const newest = await newestVersion(client, { path, query, inactivityMs, headersMs, maxPageBytes, signal });
      wasGone = false;
      if (isOlder(newest, from)) relist();
    } catch (error) {
      if (signal.aborted) return;
      const fault = toFault(error);
      outage.failed(collection.name, fault);
      await wait(fault);
    }
  }

  function relist(): void {
    version = undefined;
    notOlderThan = undefined;
  }

  async function watch(from: string): Promise<void> {
    let openedAt: number | undefined;
    const [shortest, longest] = options.watchSeconds;
    const end = await watchOnce<T>(client, {
      path,
      query,
      resourceVersion: from,
      timeoutSeconds: Math.floor(shortest + Math.random() * (longest - shortest)),
      inactivityMs,
      headersMs,
      maxLineBytes,
      opened: () => {
        openedAt = performance.now();
        outage.worked(collection.name);
      },
      changed: (changes, resourceVersion) => {
        version = resourceVersion;
        if (changes.length === 0) return;
        for (const change of changes) if (change.type === 'set') strip(change.object);
        collection.changed(changes);
      },
      signal,
    });
    if (signal.aborted) return;
    if (openedAt === undefined && end.fault !== undefined && end.next === 'again')
      outage.failed(collection.name, end.fault);
    if (openedAt === undefined && end.fault?.status === undefined) wasGone = true;
    if (end.next === 'relist') relist();
    const steady = openedAt !== undefined && performance.now() - openedAt >= options.steadyMs;
    if (steady) backoff.reset();
    if (!steady || end.next === 'relist') await wait(end.fault);
  }

  while (!signal.aborted) {
    if (version === undefined) await list();
    else if (wasGone) await compare(version);
    else await watch(version);
  }
}
