/** The server on 127.0.0.1:10249: /metrics, /healthz, /proxyMode, /configz, /metrics/slis. */
import type { RequestListener } from 'node:http';
import type { ProxyMode } from '../model/configuration.ts';
import type { Health } from './health.ts';
import type { Metrics } from './metrics.ts';
import { respond, routes } from './respond.ts';

export interface MetricsServerOptions {
  readonly metrics: Pick<Metrics, 'registry' | 'scrape'>;
  readonly health: Health;
  /** The configured mode, which is what /proxyMode says; undefined: it says `ebpf`. */
  readonly mode: ProxyMode | undefined;
  /** Body of /configz. */
  readonly configz: unknown;
}

const TEXT = 'text/plain; charset=utf-8';

export function metricsHandler({ metrics, health, mode, configz }: MetricsServerOptions): RequestListener {
  const slis = createSlis(health);
  return routes({
    '/metrics': async (response) => respond(response, 200, metrics.registry.contentType, await metrics.scrape()),
    '/metrics/slis': (response) => respond(response, 200, metrics.registry.contentType, slis()),
    '/healthz': (response) => respond(response, 200, TEXT, 'ok'),
    '/proxyMode': (response) => respond(response, 200, TEXT, mode ?? 'ebpf'),
    '/configz': (response) => respond(response, 200, 'application/json', JSON.stringify(configz)),
  });
}

/** The state of each health check now, and how often each result was seen: one look a scrape. */
function createSlis(health: Health): () => string {
  const checks = [
    { name: 'ping', type: 'healthz', passes: () => true },
    { name: 'sync', type: 'livez', passes: () => health.healthy() },
    { name: 'node', type: 'healthz', passes: () => health.nodeEligible() },
  ].map((check) => ({ ...check, totals: { success: 0, error: 0 } }));
  return () => {
    const gauges: string[] = [];
    const counters: string[] = [];
    for (const { name, type, passes, totals } of checks) {
      const isPassing = passes();
      totals[isPassing ? 'success' : 'error']++;
      gauges.push(`kubernetes_healthcheck{name="${name}",type="${type}"} ${isPassing ? 1 : 0}`);
      for (const [status, total] of Object.entries(totals)) {
        counters.push(`kubernetes_healthchecks_total{name="${name}",status="${status}",type="${type}"} ${total}`);
      }
    }
    return [
      '# HELP kubernetes_healthcheck Result of one health check: 1 passes, 0 fails',
      '# TYPE kubernetes_healthcheck gauge',
      ...gauges,
      '# HELP kubernetes_healthchecks_total Results of all health checks',
      '# TYPE kubernetes_healthchecks_total counter',
      ...counters,
      '',
    ].join('\n');
  };
}
