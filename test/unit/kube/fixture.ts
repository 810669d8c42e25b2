/** An API server, a source that reads it with short times, and what the source delivered. */
import { setMaxListeners } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { type ApiSourceOptions, createApiSource } from '../../../src/kube/api-source.ts';
import { loadKubeConfig } from '../../../src/kube/kubeconfig.ts';
import type { ReflectorOptions } from '../../../src/kube/reflector-options.ts';
import type { ObjectSource } from '../../../src/model/source.ts';
import { NODE_PROXIER_RULES } from '../../support/apiserver/auth.ts';
import { type ApiServer, type ApiServerOptions, startApiServer } from '../../support/apiserver/server.ts';
import { createRecorder, type Recorder, until } from './recorder.ts';

export const SHORT: Partial<ReflectorOptions> = {
  pageSize: 3,
  watchSeconds: [60, 120],
  inactivityMs: 10_000,
  steadyMs: 20,
  backoff: { initialMs: 10, maxMs: 100 },
  confirmMs: 20,
};

export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'sluice-kube-test-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** Closed at the end of the test. */
export async function startServer(options: ApiServerOptions = {}): Promise<ApiServer> {
  const server = await startApiServer({ authorize: { proxier: NODE_PROXIER_RULES, nobody: [] }, ...options });
  onTestFinished(() => server.close());
  return server;
}

export interface Running {
  readonly recorder: Recorder;
  readonly source: ObjectSource;
  stop(): Promise<void>;
}

/** Runs a source as system:node-proxier; stopped at the end of the test. */
export async function startSource(
  server: ApiServer,
  options: {
    reflector?: Partial<ReflectorOptions>;
    user?: string;
    serviceProxyName?: string;
    watchPods?: boolean;
    /** Further options of the source, as they are. */
    more?: Partial<ApiSourceOptions>;
    /** Changes the kubeconfig before it is read. */
    kubeconfig?: (text: string) => string;
  } = {},
): Promise<Running> {
  const kubeconfigFile = join(await temporaryDirectory(), 'kubeconfig');
  await server.writeKubeconfig(kubeconfigFile, { user: options.user ?? 'proxier' });
  if (options.kubeconfig) await writeFile(kubeconfigFile, options.kubeconfig(await readFile(kubeconfigFile, 'utf8')));
  const kubeConfig = await loadKubeConfig({ kubeconfigFile });
  const { serviceProxyName, watchPods = false } = options;
  const reflector = { ...SHORT, ...options.reflector };
  const source = createApiSource({
    kubeConfig,
    nodeName: 'node-1',
    serviceProxyName,
    watchPods,
    reflector,
    ...options.more,
  });
  const recorder = createRecorder();
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  const running = source.run(recorder, controller.signal);
  const stop = async () => {
    controller.abort();
    await running;
  };
  onTestFinished(stop);
  return { recorder, source, stop };
}

/** As startSource, and waits for the first sync and the four watches. */
export async function startSynced(
  server: ApiServer,
  options: Parameters<typeof startSource>[1] = {},
): Promise<Running> {
  const before = server.requests.count('watch');
  const running = await startSource(server, options);
  await until(() => running.recorder.syncs === 1 && server.requests.count('watch') >= before + 4);
  return running;
}

export const service = (name: string, labels?: Record<string, string>) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, ...(labels ? { labels } : {}) },
  spec: { ports: [{ port: 80 }] },
});

export const slice = (name: string, addresses: string[], labels: Record<string, string> = {}) => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name, labels: { 'kubernetes.io/service-name': name, ...labels } },
  addressType: 'IPv4',
  ports: [{ port: 8080 }],
  endpoints: addresses.map((address) => ({ addresses: [address] })),
});

export const node = (name: string, labels: Record<string, string> = {}) => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name, labels },
  status: { addresses: [{ type: 'InternalIP', address: '192.0.2.1' }] },
});
