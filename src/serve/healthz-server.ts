/** /healthz and /livez on port 10256, and /readyz, which kube-proxy has not. */
import type { RequestListener, ServerResponse } from 'node:http';
import type { Health, HealthReport } from './health.ts';
import type { Metrics } from './metrics.ts';
import { respond, routes } from './respond.ts';

type Counters = Pick<Metrics, 'proxyHealthz' | 'proxyLivez'>;

/** @returns the handler; load balancers ask /healthz, the liveness probe /livez, the readiness probe /readyz. */
export function healthzHandler(health: Health, metrics: Counters): RequestListener {
  return routes({
    '/healthz': (response) => {
      const { lastUpdated, currentTime, healthy, status } = health.report();
      const nodeEligible = health.nodeEligible();
      const code = healthy && nodeEligible ? 200 : 503;
      metrics.proxyHealthz(code);
      answer(response, code, { lastUpdated, currentTime, nodeEligible, healthy, status });
    },
    '/livez': (response) => {
      const report = health.report();
      const code = report.healthy ? 200 : 503;
      metrics.proxyLivez(code);
      answer(response, code, report);
    },
    '/readyz': (response) => answer(response, health.ready() ? 200 : 503, health.report()),
  });
}

/** While all is well kube-proxy gives the current time as lastUpdated, for its older readers. */
function answer(response: ServerResponse, code: number, report: HealthReport): void {
  const shown = code === 200 ? { ...report, lastUpdated: report.currentTime } : report;
  respond(response, code, 'application/json', JSON.stringify(shown));
}
