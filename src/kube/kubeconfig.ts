/** Finds the API server and the credentials: a kubeconfig file, or the Pod's service account. */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { KubeConfig } from '@kubernetes/client-node';
import { parse } from 'yaml';
import { SluiceError } from '../model/errors.ts';

export interface LoadKubeConfigOptions {
  /** Absent: in-cluster. */
  readonly kubeconfigFile?: string | undefined;
  /** URL of the API server, in place of the current cluster's. */
  readonly server?: string | undefined;
}

/**
 * The Kubernetes client is imported here, on demand: it costs a second and 75 MB that a start from
 * manifests need not pay.
 * @throws SluiceError SOURCE_INVALID that says which part is missing
 */
export async function loadKubeConfig(options: LoadKubeConfigOptions = {}): Promise<KubeConfig> {
  const { KubeConfig } = await import('@kubernetes/client-node/dist/config.js');
  const kubeConfig = new KubeConfig();
  const file = options.kubeconfigFile;
  if (file === undefined) {
    if (!process.env.KUBERNETES_SERVICE_HOST || !process.env.KUBERNETES_SERVICE_PORT) {
      throw new SluiceError(
        'SOURCE_INVALID',
        'find the API server: KUBERNETES_SERVICE_HOST is not set, so this is no Pod: give --kubeconfig FILE or --manifests DIR',
      );
    }
    kubeConfig.loadFromCluster();
  } else {
    loadFile(kubeConfig, file);
  }
  const { server } = options;
  const current = kubeConfig.getCurrentCluster();
  if (server !== undefined && current !== null)
    kubeConfig.clusters = kubeConfig.clusters.map((cluster) =>
      cluster === current ? { ...cluster, server } : cluster,
    );
  check(kubeConfig, file ?? 'the service account');
  return kubeConfig;
}

function loadFile(kubeConfig: KubeConfig, file: string): void {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw invalid(file, `${(error as Error).message}: give --kubeconfig a readable kubeconfig`, error);
  }
  try {
    kubeConfig.loadFromString(text);
    kubeConfig.makePathsAbsolute(dirname(resolve(file)));
    addTokenFiles(kubeConfig, text, dirname(resolve(file)));
  } catch (error) {
    throw invalid(file, `${(error as Error).message}: is it a kubeconfig?`, error);
  }
}

interface RawUser {
  name?: string;
  user?: { token?: string; tokenFile?: string };
}

/** The client does not know `tokenFile`, which kube-proxy's own kubeconfig uses; its `tokenFile` provider does the same. */
function addTokenFiles(kubeConfig: KubeConfig, text: string, directory: string): void {
  const users = (parse(text) as { users?: RawUser[] } | null)?.users ?? [];
  const files = new Map(
    users.flatMap(({ name, user }) => (name && user?.tokenFile && !user.token ? [[name, user.tokenFile]] : [])),
  );
  kubeConfig.users = kubeConfig.users.map((user) => {
    const tokenFile = files.get(user.name);
    if (tokenFile === undefined) return user;
    return { ...user, authProvider: { name: 'tokenFile', config: { tokenFile: resolve(directory, tokenFile) } } };
  });
}

function check(kubeConfig: KubeConfig, file: string): void {
  const context = kubeConfig.getCurrentContext();
  if (!context) throw invalid(file, 'it has no current-context: run kubectl config use-context NAME');
  const cluster = kubeConfig.getCurrentCluster();
  if (!cluster) throw invalid(file, `context ${context} names no cluster of the file`);
  if (!URL.canParse(cluster.server))
    throw invalid(file, `cluster ${cluster.name}: server is no URL: ${cluster.server}`);
  if (!kubeConfig.getCurrentUser()) throw invalid(file, `context ${context} names no user of the file`);
  if (cluster.server.startsWith('http:') && !cluster.skipTLSVerify) {
    throw invalid(
      file,
      `cluster ${cluster.name}: server is plain http: use https, or set insecure-skip-tls-verify: true`,
    );
  }
}

function invalid(file: string, message: string, cause?: unknown): SluiceError {
  return new SluiceError('SOURCE_INVALID', `read kubeconfig ${file}: ${message}`, { cause });
}
