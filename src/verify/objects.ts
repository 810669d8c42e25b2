/** What the API server, a directory or the last good state says now: listed afresh, and followed until it is closed. */
import { join } from 'node:path';
import type { AgentOptions } from '../cli/agent-options.ts';
import { type Compiler, createCompiler } from '../compile/compiler.ts';
import { createPeers, type PeerState } from '../host/peers.ts';
import { type ApiServers, apiServerAddresses } from '../kube/api-servers.ts';
import { createApiSource } from '../kube/api-source.ts';
import { loadKubeConfig } from '../kube/kubeconfig.ts';
import { createLastState } from '../kube/last-state.ts';
import { createManifestSource } from '../kube/manifest-source.ts';
import type { Configuration } from '../model/configuration.ts';
import { delay } from '../model/delay.ts';
import { SluiceError } from '../model/errors.ts';
import type { Node } from '../model/kubernetes.ts';
import type { ObjectSource, SourceListener } from '../model/source.ts';
import { takesDirectReturn } from '../reconcile/node-view.ts';

export interface Objects {
  /** Has every Service and slice that was told. */
  readonly compiler: Compiler;
  node(): Node | undefined;
  /** undefined: they are not watched. */
  peers(): PeerState | undefined;
  serviceCidrs(): readonly string[];
  /** uids of pods that opt out of the socket hook; undefined: not known. */
  optOuts(): readonly string[] | undefined;
  readonly apiServers: ApiServers;
  close(): void;
}

export interface ListOptions {
  readonly agent: AgentOptions;
  readonly nodeName: string;
  readonly configuration: Configuration;
  /** Take the last good state on disk in place of the API server. */
  readonly lastState: boolean;
  /** Milliseconds that it may take until everything is listed. */
  readonly timeoutMs: number;
}

/** Milliseconds for what is not waited for: networks of cluster IPs, pods that opt out. */
const EXTRAS_MS = 2000;

/** @throws SluiceError SOURCE_INVALID when there is no such source, or it did not tell everything in time */
export async function listObjects(options: ListOptions): Promise<Objects> {
  const { agent, nodeName, timeoutMs } = options;
  const stop = new AbortController();
  const { source, apiServers } = await sourceOf(options, stop.signal);
  const compiler = createCompiler({
    nodeName,
    detectLocal: { IPv4: false, IPv6: false },
    routerIpMode: options.configuration.routerIpMode,
    ...(agent.serviceProxyName !== undefined && { serviceProxyName: agent.serviceProxyName }),
    families: ['IPv4', 'IPv6'],
  });
  const wantsPeers = takesDirectReturn(agent.forwarding) || agent.externalAddresses.refuseNodeAddresses;
  const peers = createPeers(nodeName);
  let node: Node | undefined;
  let cidrs: readonly string[] | undefined;
  let optOuts: readonly string[] | undefined = agent.watchPods ? undefined : [];
  let why = '';
  const waiting = new Set(['lists', 'cidrs', ...(wantsPeers ? ['nodes'] : []), ...(agent.watchPods ? ['pods'] : [])]);
  const needed = () => waiting.has('lists') || waiting.has('nodes');

  const listener: SourceListener = {
    services: (events) => {
      for (const { key, object } of events) compiler.setService(key, object);
    },
    endpointSlices: (events) => {
      for (const { key, object } of events) compiler.setSlice(key, object);
    },
    node: (next) => {
      node = next;
    },
    nodes: (events) => {
      for (const { key, object } of events) peers.set(key.slice(key.indexOf('/') + 1), object);
    },
    nodesListed: () => void waiting.delete('nodes'),
    serviceCidrs: (networks) => {
      cidrs = networks;
      waiting.delete('cidrs');
    },
    socketOptOuts: (uids) => {
      optOuts = uids;
      waiting.delete('pods');
    },
    synced: () => void waiting.delete('lists'),
    problem: ({ object, message }) => {
      why = `${object}: ${message}`;
    },
  };
  if (wantsPeers) source.watchNodes();
  let failed: unknown;
  source.run(listener, stop.signal).catch((error: unknown) => {
    failed = error;
  });
  const began = performance.now();
  for (let extrasAt = Infinity; waiting.size > 0; await delay(20, stop.signal)) {
    const now = performance.now();
    if (!needed() && extrasAt === Infinity) extrasAt = now + EXTRAS_MS;
    if (now > extrasAt) break;
    if (failed === undefined && now - began < timeoutMs) continue;
    stop.abort();
    if (failed instanceof SluiceError) throw failed;
    throw new SluiceError(
      'SOURCE_INVALID',
      `list Services and endpoints: not done after ${timeoutMs} ms${why && `: ${why}`}`,
    );
  }
  return {
    compiler,
    node: () => node,
    peers: () => (wantsPeers ? peers.state : undefined),
    serviceCidrs: () => (agent.serviceProxyName === undefined ? (cidrs ?? []) : []),
    optOuts: () => optOuts,
    apiServers,
    close: () => stop.abort(),
  };
}

async function sourceOf(
  { agent, nodeName, configuration, lastState }: ListOptions,
  signal: AbortSignal,
): Promise<{ source: ObjectSource; apiServers: ApiServers }> {
  const { source, serviceProxyName, watchPods } = agent;
  if (lastState) return { source: await lastStateSource(agent, nodeName), apiServers: [] };
  if (source.kind === 'manifests')
    return {
      source: createManifestSource({ directory: source.directory, nodeName, serviceProxyName, watchPods }),
      apiServers: [],
    };
  const kubeconfigFile = source.kind === 'kubeconfig' ? source.file : configuration.clientKubeconfig || undefined;
  const kubeConfig = await loadKubeConfig({ kubeconfigFile, server: agent.master });
  const servers = agent.apiServers ?? [kubeConfig.getCurrentCluster()?.server ?? ''];
  const apiServers = await apiServerAddresses(servers);
  signal.throwIfAborted();
  return { source: createApiSource({ kubeConfig, nodeName, serviceProxyName, watchPods, servers }), apiServers };
}

/** @throws SluiceError SOURCE_INVALID when there is no such file, or it cannot be believed */
async function lastStateSource({ stateDir }: AgentOptions, nodeName: string): Promise<ObjectSource> {
  if (stateDir === undefined)
    throw new SluiceError(
      'SOURCE_INVALID',
      'read the last state: the agent has no --state-dir; compare with another source',
    );
  const file = join(stateDir, `state-${encodeURIComponent(nodeName)}`);
  let why = 'there is none of this node';
  const state = await createLastState({
    file,
    nodeName,
    served: () => false,
    warn: (message) => {
      why = message;
    },
    inform: () => {},
    patienceMs: 0,
  });
  if (!state.usable) throw new SluiceError('SOURCE_INVALID', `read the last state ${file}: ${why}`);
  return state.wrap({
    watchNodes() {},
    run: (_listener, signal) => new Promise((done) => signal.addEventListener('abort', () => done(), { once: true })),
  });
}
