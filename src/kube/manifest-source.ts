/** Services, their endpoints and this node's own Node from a directory of manifests, watched for changes. */
import { statSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { SluiceError } from '../model/errors.ts';
import {
  type EndpointSlice,
  type KubernetesObject,
  type Node,
  objectKey,
  type Service,
  type ServiceCIDR,
} from '../model/kubernetes.ts';
import type { ObjectEvent, ObjectSource, SourceListener } from '../model/source.ts';
import { createDirectoryWatch, type DirectoryWatchOptions } from './directory-watch.ts';
import { nameOfObject } from './manifest-changes.ts';
import { deriveSlices } from './manifest-endpoints.ts';
import { createManifestStore, type ManifestStore } from './manifest-store.ts';
import type { Endpoints, Pod } from './manifest-workloads.ts';
import { selectsService, selectsSlice } from './selectors.ts';
import { networksOf } from './service-cidrs.ts';
import { optOutsOf } from './socket-opt-outs.ts';
import { unallocated } from './unallocated.ts';

export interface ManifestSourceOptions {
  /** Every *.yaml, *.yml and *.json below it is read. */
  readonly directory: string;
  readonly nodeName: string;
  /** Serve the Services labelled with this proxy name instead of those without the label. */
  readonly serviceProxyName?: string | undefined;
  /** Tell which pods opt out of the socket hook. */
  readonly watchPods?: boolean;
  /** Overrides single times. */
  readonly watch?: Partial<DirectoryWatchOptions>;
}

const DEFAULT_WATCH: DirectoryWatchOptions = { settleMs: 50, maxSettleMs: 1_000, rescanMs: 10_000 };

/** @throws SluiceError SOURCE_INVALID when there is no such directory. */
export function createManifestSource(options: ManifestSourceOptions): ObjectSource {
  const { directory } = options;
  if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory()) {
    throw new SluiceError(
      'SOURCE_INVALID',
      `read manifests: ${directory} is no directory: create it or give another --manifests DIR`,
    );
  }
  return {
    // They are read anyway.
    watchNodes() {},

    async run(listener, signal) {
      const watch = createDirectoryWatch({ ...DEFAULT_WATCH, ...options.watch });
      const store = createManifestStore(directory, listener);
      const deliver = createDelivery(options, listener);
      try {
        let synced = false;
        while (!signal.aborted) {
          const found = await store.rescan();
          if (signal.aborted) return;
          if (found !== undefined) {
            watch.set(found.directories);
            if (found.changed || !synced) deliver(store);
            if (!synced) {
              listener.nodesListed();
              listener.synced();
            }
            synced = true;
          }
          await watch.next(signal);
        }
      } finally {
        watch.close();
      }
    },
  };
}

/** @returns a function that passes on what differs from its last call. */
function createDelivery(options: ManifestSourceOptions, listener: SourceListener): (store: ManifestStore) => void {
  let services = new Map<string, Service>();
  let slices = new Map<string, EndpointSlice>();
  let nodes = new Map<string, Node>();
  let node: Node | undefined | null = null;
  let networks: readonly string[] | undefined;
  let optOuts: readonly string[] | undefined;
  let told = new Set<string>();

  return (store) => {
    const nextServices = new Map<string, Service>();
    const nextSlices = new Map<string, EndpointSlice>();
    const problems: { object: string; message: string }[] = [];
    const endpoints = new Map<string, Endpoints>();
    const pods: Pod[] = [];
    const namespaces = new Map<string, KubernetesObject>();
    const origins = new Map<string, string>();
    const nextNodes = new Map<string, Node>();
    let nextNode: Node | undefined;
    const serviceCidrs: ServiceCIDR[] = [];

    for (const [file, object] of store.objects()) {
      const name = nameOfObject(object);
      const origin = origins.get(name);
      if (origin !== undefined) {
        problems.push({ object: name, message: `${name} is in ${origin} and again in ${file}; the first is taken` });
        continue;
      }
      origins.set(name, file);
      if (object.kind === 'Node') {
        nextNodes.set(objectKey(object), object as Node);
        if (object.metadata?.name === options.nodeName) nextNode = object as Node;
      } else if (object.kind === 'ServiceCIDR') {
        serviceCidrs.push(object as ServiceCIDR);
      } else if (object.kind === 'Service') {
        if (!selectsService(object, options.serviceProxyName)) continue;
        nextServices.set(objectKey(object), object as Service);
        for (const message of unallocated(object as Service)) problems.push({ object: name, message });
      } else if (object.kind === 'Endpoints') {
        endpoints.set(objectKey(object), object as Endpoints);
      } else if (object.kind === 'Namespace') {
        namespaces.set(object.metadata?.name ?? '', object);
      } else if (object.kind === 'Pod') {
        pods.push(object as Pod);
      } else if (selectsSlice(object)) {
        nextSlices.set(objectKey(object), object as EndpointSlice);
      }
    }

    const derived = deriveSlices({
      services: nextServices.values(),
      slices: nextSlices.values(),
      endpoints,
      pods,
      nodes: nextNodes.values(),
    });
    for (const slice of derived.slices) nextSlices.set(objectKey(slice), slice);
    problems.push(...derived.notes);
    const nextOptOuts = options.watchPods ? optOutsOf(pods, namespaces, options.nodeName) : undefined;
    for (const name of nextOptOuts?.unknown ?? [])
      problems.push({ object: `Pod ${name}`, message: `Pod ${name} has no metadata.uid: the socket hook serves it` });
    for (const problem of problems) if (!told.has(problem.message)) listener.problem(problem);

    const serviceEvents = difference(services, nextServices);
    const sliceEvents = difference(slices, nextSlices);
    const nodeEvents = difference(nodes, nextNodes);
    const nodeChanged = !isDeepStrictEqual(node, nextNode);
    const optOutsChanged = !isDeepStrictEqual(optOuts, nextOptOuts?.uids);
    const nextNetworks = networksOf(serviceCidrs);
    const networksChanged = !isDeepStrictEqual(networks, nextNetworks);
    services = nextServices;
    slices = nextSlices;
    nodes = nextNodes;
    node = nextNode;
    networks = nextNetworks;
    optOuts = nextOptOuts?.uids;
    told = new Set(problems.map(({ message }) => message));
    if (serviceEvents.length > 0) listener.services(serviceEvents);
    if (sliceEvents.length > 0) listener.endpointSlices(sliceEvents);
    if (nodeChanged) listener.node(nextNode);
    if (nodeEvents.length > 0) listener.nodes(nodeEvents);
    if (networksChanged) listener.serviceCidrs(nextNetworks);
    if (optOutsChanged && optOuts !== undefined) listener.socketOptOuts(optOuts);
  };
}

function difference<T extends KubernetesObject>(
  before: ReadonlyMap<string, T>,
  after: ReadonlyMap<string, T>,
): ObjectEvent<T>[] {
  const events: ObjectEvent<T>[] = [];
  for (const key of before.keys()) if (!after.has(key)) events.push({ type: 'delete', key });
  for (const [key, object] of after) {
    const old = before.get(key);
    if (old !== object && !isDeepStrictEqual(old, object)) events.push({ type: 'set', key, object });
  }
  return events;
}
