/** The agent's HTTP servers: health on 10256, metrics on 127.0.0.1:10249, as kube-proxy has them. */
import { configz } from '../config/configz.ts';
import type { Configuration } from '../model/configuration.ts';
import type { Health } from '../serve/health.ts';
import { healthzHandler } from '../serve/healthz-server.ts';
import { serveHttp } from '../serve/listen.ts';
import type { Metrics } from '../serve/metrics.ts';
import { metricsHandler } from '../serve/metrics-server.ts';

export interface ServersOptions {
  readonly configuration: Configuration;
  readonly health: Health;
  readonly metrics: Metrics;
  readonly warn: (message: string) => void;
}

/**
 * Serves until the signal aborts. Port 0 turns a server off.
 * @throws SluiceError LISTEN_FAILED, with bindAddressHardFail only.
 */
export async function runServers(
  { configuration, health, metrics, warn }: ServersOptions,
  signal: AbortSignal,
): Promise<void> {
  const common = { signal, hardFail: configuration.bindAddressHardFail, onProblem: warn };
  const servers = [
    { name: 'healthz', ...configuration.healthz, handler: healthzHandler(health, metrics) },
    {
      name: 'metrics',
      ...configuration.metrics,
      handler: metricsHandler({ metrics, health, mode: configuration.mode, configz: configz(configuration) }),
    },
  ];
  await Promise.all(servers.filter(({ port }) => port !== 0).map((server) => serveHttp({ ...server, ...common })));
}
