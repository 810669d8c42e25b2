/** Events on Services, as kube-proxy writes them. Nothing depends on them: what fails is logged and forgotten. */
import type { KubeConfig } from '@kubernetes/client-node';
import { createApiClient } from './client.ts';
import { faultOf } from './fault.ts';
import type { Log } from './reflector-options.ts';

export interface EventRecorderOptions {
  readonly kubeConfig: KubeConfig;
  readonly nodeName: string;
  readonly signal: AbortSignal;
  readonly log?: Log | undefined;
  /** Milliseconds that only grow. */
  readonly now?: () => number;
}

export interface EventRecorder {
  /** The health check port of a Service cannot be opened. Returns at once. */
  healthCheckFailed(service: ServicePortName, reason: string): void;
}

export interface ServicePortName {
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
}

/** As client-go limits them: a few at once, then one of a Service in five minutes. */
const BURST = 25;
const INTERVAL_MS = 300_000;
const INACTIVITY_MS = 10_000;

export function createEventRecorder({ kubeConfig, nodeName, signal, log, now }: EventRecorderOptions): EventRecorder {
  const clock = now ?? (() => performance.now());
  /** When each Service last had one. */
  const last = new Map<string, number>();
  let count = 0;

  /** Is there room for one more now? */
  function admit(key: string): boolean {
    const at = clock();
    for (const [other, time] of last) if (at - time >= INTERVAL_MS) last.delete(other);
    if (last.has(key) || last.size >= BURST) return false;
    last.set(key, at);
    return true;
  }

  async function write(event: { metadata: { namespace: string } }): Promise<void> {
    const client = createApiClient(kubeConfig);
    try {
      const path = `/apis/events.k8s.io/v1/namespaces/${encodeURIComponent(event.metadata.namespace)}/events`;
      const response = await client.post(path, event, { signal, inactivityMs: INACTIVITY_MS });
      if (response.status >= 300) throw await faultOf(response);
      response.body.resume();
    } catch (error) {
      log?.('event not written', { reason: (error as Error).message });
    } finally {
      client.close();
    }
  }

  return {
    healthCheckFailed({ namespace, name, port }, reason) {
      const key = `${namespace}/${name}`;
      if (!admit(key)) return;
      const time = new Date();
      void write({
        apiVersion: 'events.k8s.io/v1',
        kind: 'Event',
        metadata: { namespace, name: `${name}.${time.getTime().toString(16)}${(count++ & 0xff).toString(16)}` },
        // Microseconds are what the API asks for.
        eventTime: time.toISOString().replace('Z', '000Z'),
        type: 'Warning',
        reason: 'FailedToStartServiceHealthcheck',
        action: 'Listen',
        note: `node ${nodeName} failed to start healthcheck "${key}" on port ${port}: ${reason}`.slice(0, 1024),
        regarding: { apiVersion: 'v1', kind: 'Service', namespace, name },
        reportingController: 'sluice',
        reportingInstance: `sluice-${nodeName}`.slice(0, 128),
      } as { metadata: { namespace: string } });
    },
  };
}
