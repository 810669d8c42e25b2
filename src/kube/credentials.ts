/**
 * What a request shows the API server: certificates and tokens of the kubeconfig, for every request anew. Files are read
 * each time, plugins run no longer than they are given, and what the server refuses is not shown twice.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import type { KubeConfig } from '@kubernetes/client-node';

/** Milliseconds that an exec plugin may take. */
const PLUGIN_MS = 60_000;

export interface Credentials {
  /** TLS options and headers of a request. @throws Error when a file or plugin fails, takes too long, or the signal aborts */
  get(signal: AbortSignal): Promise<RequestOptions>;
  /** The server refused what was shown (401): nothing that was kept is shown again. */
  refused(): void;
  /** The token of a file as it is now; undefined: there is none, or it cannot be read. */
  fileToken(): string | undefined;
}

/** The client keeps its authenticators to itself; those that run plugins start them by `execFn` and keep what they say. */
interface ExecAuthenticator {
  execFn?: (command: string, args: readonly string[], options: SpawnOptions) => ChildProcess;
  tokenCache?: Record<string, unknown>;
}

export function createCredentials(kubeConfig: KubeConfig, pluginMs = PLUGIN_MS): Credentials {
  const { authenticators = [] } = kubeConfig as unknown as { authenticators?: ExecAuthenticator[] };
  const plugins = authenticators.filter(({ execFn }) => execFn !== undefined);
  const children = new Set<ChildProcess>();
  for (const plugin of plugins)
    plugin.execFn = (command, args, options) => {
      const child = spawn(command, args, { ...options, timeout: pluginMs, killSignal: 'SIGKILL' });
      children.add(child);
      child.once('close', () => children.delete(child));
      return child;
    };

  function tokenOfFile(): string | undefined {
    const file: string | undefined = kubeConfig.getCurrentUser()?.authProvider?.config?.tokenFile;
    return file === undefined ? undefined : readFileSync(file, 'utf8').trim();
  }

  return {
    async get(signal) {
      const options: RequestOptions = { headers: {} };
      const applied = kubeConfig.applyToHTTPSOptions(options);
      await withinTime(applied, signal, pluginMs + 1000).catch((error) => {
        // A plugin's own children may hold its output open: it is not waited for.
        for (const child of children) child.kill('SIGKILL');
        throw error;
      });
      const token = tokenOfFile();
      if (token !== undefined) (options.headers as Record<string, unknown>).Authorization = `Bearer ${token}`;
      return options;
    },
    refused() {
      for (const plugin of plugins) plugin.tokenCache = {};
    },
    fileToken() {
      try {
        return tokenOfFile();
      } catch {
        return undefined;
      }
    },
  };
}

/** @throws Error when the signal aborts or the time is over first */
function withinTime<T>(work: Promise<T>, signal: AbortSignal, ms: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(new Error('aborted'));
    const timer = setTimeout(() => reject(new Error(`get credentials: not done after ${ms} ms`)), ms);
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    work.then(resolve, reject).finally(() => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
    });
  });
}
