/** What one sync after another tells the metrics. */
import { beforeEach, describe, expect, it } from 'vitest';
import type { Family } from '../../../src/model/address.ts';
import type { CompiledService, PolicyCounts } from '../../../src/model/compiled.ts';
import type { SyncResult } from '../../../src/reconcile/reconciler.ts';
import { createTelemetry, type Telemetry, type TelemetryOptions } from '../../../src/reconcile/telemetry.ts';
import { createHealth, type Health } from '../../../src/serve/health.ts';
import { createMetrics, type Metrics } from '../../../src/serve/metrics.ts';

const START = 1_700_000_000_000;
const NONE: PolicyCounts = { internal: 0, external: 0 };
let now: number;
let metrics: Metrics;
let telemetry: Telemetry;
let health: Health;

beforeEach(() => {
  now = START;
  metrics = createMetrics({ processMetrics: false });
  health = createHealth({ clock: () => now, syncPeriod: 30_000 });
  telemetry = createTelemetry({
    metrics,
    health,
    healthChecks: {} as TelemetryOptions['healthChecks'],
    configuration: {} as TelemetryOptions['configuration'],
    clock: () => now,
  });
});

function compiled(given: Partial<CompiledService>): CompiledService {
  return {
    namespace: 'default',
    name: 'web',
    created: 0,
    ports: [],
    problems: [],
    health: undefined,
    noLocalEndpoints: { IPv4: NONE, IPv6: NONE },
    lastChangeTrigger: undefined,
    ...given,
  };
}

function sync(changed: readonly CompiledService[], given: Partial<SyncResult> = {}, full = false): void {
  telemetry.synced(
    {
      changed,
      removed: [],
      ok: true,
      sound: true,
      applied: { failed: [] },
      failedDevices: 0,
      failedRows: 0,
      ...given,
    } as unknown as SyncResult,
    0.01,
    full,
  );
}

async function value(series: string): Promise<number> {
  const line = (await metrics.scrape()).split('\n').find((text) => text.startsWith(`${series} `));
  return Number(line?.slice(series.length + 1) ?? 0);
}

const of = (name: string, family: Family = 'IPv4') => `kubeproxy_${name}{ip_family="${family}"}`;

describe('network programming latency (R-83)', () => {
  const latency = async () => [
    await value(of('network_programming_duration_seconds_count')),
    await value(of('network_programming_duration_seconds_sum', 'IPv6')),
  ];

  it('runs from the change of the endpoints to the sync, once a change', async () => {
    now += 5000;
    sync([compiled({ lastChangeTrigger: START + 3000 })]);
    expect(await latency()).toEqual([1, 2]);
    now += 60_000;
    // The Service was compiled anew, its endpoints are the same.
    sync([compiled({ lastChangeTrigger: START + 3000 })]);
    expect(await latency()).toEqual([1, 2]);
    sync([compiled({ lastChangeTrigger: now - 1000 })]);
    expect(await latency()).toEqual([2, 3]);
  });

  it('counts a change that a full sync puts in force', async () => {
    now += 1000;
    sync([compiled({ lastChangeTrigger: START + 500 })], {}, true);
    expect(await latency()).toEqual([1, 0.5]);
  });

  it('leaves out what changed before the agent started, and slices without the annotation', async () => {
    now += 1000;
    sync([compiled({ lastChangeTrigger: START - 1 }), compiled({ name: 'other' })]);
    expect(await latency()).toEqual([0, 0]);
  });
});

it('changes are pending until a sync that is whole (R-82)', async () => {
  telemetry.queued({ services: 2, slices: 3 });
  const pending = async () => [
    await value(of('sync_proxy_rules_service_changes_pending')),
    await value(of('sync_proxy_rules_endpoint_changes_pending', 'IPv6')),
    await value(of('sync_proxy_rules_last_timestamp_seconds')),
  ];
  sync([], { ok: false, sound: false });
  expect(await pending()).toEqual([2, 3, 0]);
  sync([]);
  expect(await pending()).toEqual([0, 0, START / 1000]);
});

it('ServicePorts without local endpoints are summed, and forgotten with their Service (R-31)', async () => {
  const counts = { IPv4: { internal: 1, external: 2 }, IPv6: NONE };
  const sum = (policy: string) =>
    value(`kubeproxy_sync_proxy_rules_no_local_endpoints_total{ip_family="IPv4",traffic_policy="${policy}"}`);
  sync([compiled({ noLocalEndpoints: counts }), compiled({ name: 'other', noLocalEndpoints: counts })]);
  expect([await sum('internal'), await sum('external')]).toEqual([2, 4]);
  sync([compiled({})], { removed: ['default/other'] });
  expect([await sum('internal'), await sum('external')]).toEqual([0, 0]);
});

describe('what fails for one (R-79)', () => {
  const failed = [{}, {}] as unknown as SyncResult['applied']['failed'];

  it('is counted, and is not the health of the node', async () => {
    telemetry.queued({ services: 1, slices: 0 });
    now += 1000;
    sync([], { ok: false, sound: true, applied: { failed } as SyncResult['applied'], failedDevices: 3 });
    now += 10 * 30_000;
    expect(health.healthy()).toBe(true);
    expect([await value('sluice_unapplied{kind="service"}'), await value('sluice_unapplied{kind="device"}')]).toEqual([
      2, 3,
    ]);
    sync([]);
    expect(await value('sluice_unapplied{kind="service"}')).toBe(0);
  });

  it('for all is: also in the first sync', () => {
    telemetry.queued({ services: 1, slices: 0 });
    sync([], { ok: false, sound: false });
    now += 59_999;
    expect(health.healthy()).toBe(true);
    now += 1;
    expect(health.healthy()).toBe(false);
    expect(health.report()).toMatchObject({ healthy: false, status: { IPv4: { healthy: false } } });
    sync([]);
    expect(health.healthy()).toBe(true);
  });
});
