import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createHealth, type Health } from '../../../src/serve/health.ts';
import { healthzHandler } from '../../../src/serve/healthz-server.ts';
import { createMetrics, type Metrics } from '../../../src/serve/metrics.ts';
import { get, start } from './http.ts';

const START = Date.UTC(2026, 0, 2, 3, 4, 5);
const SYNC_PERIOD = 30_000;

let now: number;
let health: Health;
let metrics: Metrics;
let server: Awaited<ReturnType<typeof start>>;

beforeEach(async () => {
  now = START;
  health = createHealth({ clock: () => now, syncPeriod: SYNC_PERIOD });
  metrics = createMetrics({ processMetrics: false });
  server = await start(healthzHandler(health, metrics));
});
afterEach(() => server.stop());

const ask = async (path: string) => {
  const { code, headers, body } = await get(server.port, path);
  expect(headers).toMatchObject({ 'content-type': 'application/json', 'x-content-type-options': 'nosniff' });
  return { code, body };
};
const codes = async () => [(await ask('/healthz')).code, (await ask('/livez')).code];

describe('healthzHandler', () => {
  test('R-79: healthy while starting up, a change queued or not', async () => {
    expect(await ask('/healthz')).toEqual({
      code: 200,
      body: '{"lastUpdated":"2026-01-02T03:04:05.000Z","currentTime":"2026-01-02T03:04:05.000Z","nodeEligible":true,"healthy":true}',
    });
    health.queued('IPv4');
    now += 10 * SYNC_PERIOD;
    expect(await codes()).toEqual([200, 200]);
    expect(health.healthy()).toBe(true);
  });

  test('ready once both families have been in force, and while they are', async () => {
    const ready = async () => (await ask('/readyz')).code;
    expect(await ready()).toBe(503);
    health.updated('IPv4');
    expect(await ready()).toBe(503);
    health.updated('IPv6');
    expect(await ready()).toBe(200);
    health.queued('IPv6');
    now += 2 * SYNC_PERIOD;
    expect(await ready()).toBe(503);
  });

  test('R-79: the body has the status of each family', async () => {
    health.updated('IPv4');
    now += 1000;
    health.updated('IPv6');
    now += 1000;
    expect(JSON.parse((await ask('/healthz')).body)).toEqual({
      lastUpdated: '2026-01-02T03:04:07.000Z',
      currentTime: '2026-01-02T03:04:07.000Z',
      nodeEligible: true,
      healthy: true,
      status: {
        IPv4: { lastUpdated: '2026-01-02T03:04:05.000Z', healthy: true },
        IPv6: { lastUpdated: '2026-01-02T03:04:06.000Z', healthy: true },
      },
    });
  });

  test('R-79: unhealthy once a change of one family has waited for two sync periods', async () => {
    health.updated('IPv4');
    health.updated('IPv6');
    health.queued('IPv6');
    now += SYNC_PERIOD;
    health.queued('IPv6');
    now += SYNC_PERIOD - 1;
    expect(await codes()).toEqual([200, 200]);
    now += 1;
    expect(await codes()).toEqual([503, 503]);
    expect(JSON.parse((await ask('/livez')).body)).toEqual({
      lastUpdated: '2026-01-02T03:04:05.000Z',
      currentTime: '2026-01-02T03:05:05.000Z',
      healthy: false,
      status: {
        IPv4: { lastUpdated: '2026-01-02T03:04:05.000Z', healthy: true },
        IPv6: { lastUpdated: '2026-01-02T03:04:05.000Z', healthy: false },
      },
    });
    expect(health.healthy()).toBe(false);
    health.updated('IPv6');
    expect(await codes()).toEqual([200, 200]);
  });

  test('R-79: without changes it stays healthy, however old the last sync is (R-87)', async () => {
    health.updated('IPv4');
    now += 100 * SYNC_PERIOD;
    expect(await codes()).toEqual([200, 200]);
  });

  test('R-80: a Node that is not eligible fails /healthz, not /livez', async () => {
    health.updated('IPv4');
    now += 1000;
    health.setNodeNotEligible('the Node is being deleted');
    expect(await codes()).toEqual([503, 200]);
    const body = JSON.parse((await ask('/healthz')).body);
    expect(body).toMatchObject({ nodeEligible: false, healthy: true, lastUpdated: '2026-01-02T03:04:05.000Z' });
    expect(health.healthy()).toBe(true);
    health.setNodeNotEligible(undefined);
    expect(await codes()).toEqual([200, 200]);
  });

  test('R-82: answers are counted by code', async () => {
    await ask('/healthz');
    health.setNodeNotEligible('the Node is being deleted');
    await ask('/healthz');
    await ask('/livez');
    const text = await metrics.scrape();
    expect(text).toContain('kubeproxy_proxy_healthz_total{code="200"} 1\n');
    expect(text).toContain('kubeproxy_proxy_healthz_total{code="503"} 1\n');
    expect(text).toContain('kubeproxy_proxy_livez_total{code="200"} 1\n');
    expect(text).toContain('kubeproxy_proxy_livez_total{code="503"} 0\n');
  });

  test('other paths are not found, a query is no part of the path', async () => {
    expect(await get(server.port, '/')).toMatchObject({ code: 404 });
    expect(await get(server.port, '/healthz/x')).toMatchObject({ code: 404 });
    expect(await get(server.port, '/healthz?verbose')).toMatchObject({ code: 200 });
  });
});
