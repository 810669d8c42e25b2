/** Services, EndpointSlices and this node's own Node from an API server. */
import type { KubeConfig } from '@kubernetes/client-node';
import type { EndpointSlice, KubernetesObject, Node, Service, ServiceCIDR } from '../model/kubernetes.ts';
import type { ObjectEvent, ObjectSource } from '../model/source.ts';
import { type ApiClient, createApiClient } from './client.ts';
import { createKnown } from './known.ts';
import { createOutage } from './outage.ts';
import { type Collection, reflect } from './reflector.ts';
import { DEFAULT_REFLECTOR_OPTIONS, type Log, type ReflectorOptions } from './reflector-options.ts';
import { serviceSelector, sliceSelector } from './selectors.ts';
import { networksOf } from './service-cidrs.ts';
import { endSilence } from './silence.ts';
import { optOutCollections } from './socket-opt-out-collections.ts';
import { nodeContent, stripNode, stripService, stripServiceCidr, stripSlice } from './strip.ts';

export interface ApiSourceOptions {
  readonly kubeConfig: KubeConfig;
  readonly nodeName: string;
  /** Serve the Services labelled with this proxy name instead of those without the label. */
  readonly serviceProxyName?: string | undefined;
  /** Tell which pods opt out of the socket hook. */
  readonly watchPods?: boolean;
  readonly log?: Log | undefined;
  /** URLs of API servers in place of the kubeconfig's, tried in turn. */
  readonly servers?: readonly string[];
  /** Called when another server than before has answered. */
  readonly answered?: (server: string) => void;
  /** Did this node serve Services before? An empty list is then asked for once more. */
  readonly served?: () => boolean;
  /** Overrides single times and sizes. */
  readonly reflector?: Partial<ReflectorOptions>;
}

export function createApiSource(options: ApiSourceOptions): ObjectSource {
  const { kubeConfig, nodeName, serviceProxyName } = options;
  const reflector = { ...DEFAULT_REFLECTOR_OPTIONS, log: options.log, ...options.reflector };

  let askForNodes: () => void = () => {};
  const nodesWanted = new Promise<void>((resolve) => {
    askForNodes = resolve;
  });

  let client: ApiClient | undefined;

  return {
    watchNodes: () => askForNodes(),

    contact: () => client && { server: client.server, silentMs: silenceOf(client) },

    async run(listener, signal) {
      const api = createApiClient(kubeConfig, { servers: options.servers, answered: options.answered });
      client = api;
      const outage = createOutage(
        () => api.server,
        (problem) => listener.problem(problem),
      );
      const unlisted = new Set(['services', 'endpointslices', 'nodes']);
      const listed = (name: string) => {
        if (unlisted.delete(name) && unlisted.size === 0) listener.synced();
      };
      const run = <T extends KubernetesObject>(collection: Collection<T>) =>
        reflect(api, collection, outage, (problem) => listener.problem(problem), reflector, signal);
      try {
        await Promise.all([
          endSilence(api, reflector.silence, signal),
          run(
            many<Service>({
              name: 'services',
              path: '/api/v1/services',
              query: { labelSelector: serviceSelector(serviceProxyName) },
              strip: stripService,
              deliver: (events) => listener.services(events),
              listed,
              served: options.served,
            }),
          ),
          run(
            many<EndpointSlice>({
              name: 'endpointslices',
              path: '/apis/discovery.k8s.io/v1/endpointslices',
              query: { labelSelector: sliceSelector() },
              strip: stripSlice,
              deliver: (events) => listener.endpointSlices(events),
              listed,
            }),
          ),
          run(ownNode(nodeName, (node) => listener.node(node), listed)),
          whenWanted(nodesWanted, signal, () =>
            run(
              many<Node>({
                name: 'nodes of the cluster',
                path: '/api/v1/nodes',
                query: {},
                strip: stripNode,
                deliver: (events) => listener.nodes(events),
                listed: () => listener.nodesListed(),
              }),
            ),
          ),
          run(serviceCidrs((networks) => listener.serviceCidrs(networks))),
          ...(options.watchPods ? optOutCollections(nodeName, (uids) => listener.socketOptOuts(uids)).map(run) : []),
        ]);
      } finally {
        api.close();
      }
    },
  };
}

/** Runs `start` once it is wanted; resolves when it ends, or when nobody wanted it before the signal aborts. */
async function whenWanted(wanted: Promise<void>, signal: AbortSignal, start: () => Promise<void>): Promise<void> {
  let done: () => void = () => {};
  const aborted = new Promise<void>((resolve) => {
    done = resolve;
    signal.addEventListener('abort', done, { once: true });
    if (signal.aborted) done();
  });
  await Promise.race([wanted, aborted]);
  signal.removeEventListener('abort', done);
  if (!signal.aborted) await start();
}

interface Many<T> extends Pick<Collection<T>, 'name' | 'path' | 'query' | 'strip'> {
  readonly deliver: (events: ObjectEvent<T>[]) => void;
  readonly listed: (name: string) => void;
  readonly served?: (() => boolean) | undefined;
}

/** Milliseconds since the last word; undefined: there was none. */
function silenceOf({ lastHeard }: ApiClient): number | undefined {
  return lastHeard === 0 ? undefined : performance.now() - lastHeard;
}

function many<T extends KubernetesObject>(options: Many<T>): Collection<T> {
  const known = createKnown<T>();
  const { deliver, listed, served, ...rest } = options;
  let first = true;
  return {
    ...rest,
    doubt(objects) {
      if (first && objects.length === 0 && served?.()) return 'the list is empty, and this node has served some';
      return known.doubt(objects);
    },
    replaced(objects) {
      first = false;
      const events = known.replace(objects);
      if (events.length > 0) deliver(events);
      listed(rest.name);
    },
    changed(changes) {
      const events: ObjectEvent<T>[] = [];
      for (const { type, object } of changes) {
        const event = type === 'set' ? known.set(object) : known.delete(object);
        if (event !== undefined) events.push(event);
      }
      if (events.length > 0) deliver(events);
    },
  };
}

/** A Node changes all the time (its status tells every image); only changes of what is read are passed on. */
function ownNode(
  nodeName: string,
  deliver: (node: Node | undefined) => void,
  listed: (name: string) => void,
): Collection<Node> {
  let last: string | undefined | null = null;
  const update = (node: Node | undefined) => {
    const own = node && stripNode(node);
    const content = own && nodeContent(own);
    if (content === last) return;
    last = content;
    deliver(own);
  };
  return {
    name: 'nodes',
    path: '/api/v1/nodes',
    query: { fieldSelector: `metadata.name=${nodeName}` },
    strip: (node) => node,
    doubt: (nodes) => (nodes.length === 0 && typeof last === 'string' ? 'the Node is gone' : undefined),
    replaced(nodes) {
      update(nodes.find((node) => node.metadata?.name === nodeName));
      listed('nodes');
    },
    changed(changes) {
      for (const { type, object } of changes)
        if (object.metadata?.name === nodeName) update(type === 'set' ? object : undefined);
    },
  };
}

/** Objects that a server before Kubernetes 1.33 does not have, and that not every role may read. */
function serviceCidrs(deliver: (networks: readonly string[] | undefined) => void): Collection<ServiceCIDR> {
  const objects = new Map<string, ServiceCIDR>();
  let last: string | undefined;
  const update = (networks: readonly string[] | undefined) => {
    const content = JSON.stringify(networks ?? null);
    if (content === last) return;
    last = content;
    deliver(networks);
  };
  const name = ({ metadata }: ServiceCIDR) => metadata?.name ?? '';
  return {
    name: 'servicecidrs',
    path: '/apis/networking.k8s.io/v1/servicecidrs',
    query: {},
    strip: stripServiceCidr,
    optional: {
      without: 'packets to cluster IPs that no Service has are not dropped',
      refused: () => update(undefined),
    },
    replaced(found) {
      objects.clear();
      for (const object of found) objects.set(name(object), object);
      update(networksOf(objects.values()));
    },
    changed(changes) {
      for (const { type, object } of changes) {
        if (type === 'set') objects.set(name(object), object);
        else objects.delete(name(object));
      }
      update(networksOf(objects.values()));
    },
  };
}
