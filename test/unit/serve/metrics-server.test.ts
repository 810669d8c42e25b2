import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { configz } from '../../../src/config/configz.ts';
import { loadConfiguration } from '../../../src/config/load.ts';
import { createHealth, type Health } from '../../../src/serve/health.ts';
import { createMetrics, type Metrics } from '../../../src/serve/metrics.ts';
import { metricsHandler } from '../../../src/serve/metrics-server.ts';
import { get, start } from './http.ts';

const { configuration } = loadConfiguration(undefined);

let health: Health;
let metrics: Metrics;
let server: Awaited<ReturnType<typeof start>>;

beforeEach(async () => {
  health = createHealth({ clock: () => 0, syncPeriod: 1 });
  metrics = createMetrics();
  server = await start(metricsHandler({ metrics, health, mode: undefined, configz: configz(configuration) }));
});
afterEach(() => server.stop());

describe('metricsHandler', () => {
  test('R-81: /healthz is ok', async () => {
    expect(await get(server.port, '/healthz')).toMatchObject({ code: 200, body: 'ok' });
  });

  test('R-81: /proxyMode is the configured mode, ebpf when there is none', async () => {
    const answer = await get(server.port, '/proxyMode');
    expect(answer).toMatchObject({ code: 200, body: 'ebpf' });
    expect(answer.headers).toMatchObject({
      'content-type': 'text/plain; charset=utf-8',
      'x-content-type-options': 'nosniff',
    });
    const other = await start(metricsHandler({ metrics, health, mode: 'nftables', configz: {} }));
    expect(await get(other.port, '/proxyMode')).toMatchObject({ body: 'nftables' });
    await other.stop();
  });

  test('R-81: /configz is the configuration in force', async () => {
    const { headers, body } = await get(server.port, '/configz');
    expect(headers['content-type']).toBe('application/json');
    expect(JSON.parse(body)).toMatchObject({
      'kubeproxy.config.k8s.io': { healthzBindAddress: '0.0.0.0:10256', iptables: { syncPeriod: '30s' } },
    });
  });

  test('R-81: /metrics/slis has the health checks', async () => {
    const { code, body } = await get(server.port, '/metrics/slis');
    expect(code).toBe(200);
    expect(body).toContain('kubernetes_healthcheck{name="node",type="healthz"} 1\n');
    health.setNodeNotEligible('the Node is being deleted');
    const { body: later } = await get(server.port, '/metrics/slis');
    expect(later).toContain('kubernetes_healthcheck{name="node",type="healthz"} 0\n');
    expect(later).toContain('kubernetes_healthchecks_total{name="node",status="success",type="healthz"} 1\n');
    expect(later).toContain('kubernetes_healthchecks_total{name="node",status="error",type="healthz"} 1\n');
  });

  test('R-82: /metrics has the names and labels of kube-proxy', async () => {
    metrics.syncDuration('IPv4', 0.003, true);
    metrics.syncDuration('IPv6', 0.003, false);
    metrics.networkProgramming('IPv4', 0.4);
    metrics.endpointChanges('IPv4', 3);
    metrics.endpointChangesPending('IPv4', 2);
    metrics.serviceChanges('IPv6', 1);
    metrics.serviceChangesPending('IPv6', 1);
    metrics.lastTimestamp('IPv4', 1700000000);
    metrics.queuedTimestamp('IPv4', 1700000001);
    metrics.conntrackReconciled('IPv4', 0.1, 7);
    const { headers, body } = await get(server.port, '/metrics');
    expect(headers['content-type']).toMatch(/^text\/plain; version=0\.0\.4/);
    for (const line of [
      'kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family="IPv4"} 1',
      'kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family="IPv6"} 1',
      'kubeproxy_sync_proxy_rules_duration_seconds_bucket{le="0.004",ip_family="IPv4"} 1',
      'kubeproxy_sync_full_proxy_rules_duration_seconds_count{ip_family="IPv4"} 1',
      'kubeproxy_sync_partial_proxy_rules_duration_seconds_count{ip_family="IPv6"} 1',
      'kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family="IPv4"} 1700000000',
      'kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds{ip_family="IPv4"} 1700000001',
      'kubeproxy_network_programming_duration_seconds_bucket{le="0.5",ip_family="IPv4"} 1',
      'kubeproxy_sync_proxy_rules_endpoint_changes_total{ip_family="IPv4"} 3',
      'kubeproxy_sync_proxy_rules_endpoint_changes_pending{ip_family="IPv4"} 2',
      'kubeproxy_sync_proxy_rules_service_changes_total{ip_family="IPv6"} 1',
      'kubeproxy_sync_proxy_rules_service_changes_pending{ip_family="IPv6"} 1',
      'kubeproxy_conntrack_reconciler_sync_duration_seconds_count{ip_family="IPv4"} 1',
      'kubeproxy_conntrack_reconciler_deleted_entries_total{ip_family="IPv4"} 7',
      'kubeproxy_conntrack_reconciler_deleted_entries_total{ip_family="IPv6"} 0',
    ]) {
      expect(body).toContain(`${line}\n`);
    }
    expect(body).toContain('process_resident_memory_bytes');
  });

  test('R-31: ServicePorts without local endpoints, by policy', async () => {
    metrics.noLocalEndpoints('IPv4', 'external', 2);
    const { body } = await get(server.port, '/metrics');
    const name = 'kubeproxy_sync_proxy_rules_no_local_endpoints_total';
    expect(body).toContain(`${name}{ip_family="IPv4",traffic_policy="external"} 2\n`);
    expect(body).toContain(`${name}{ip_family="IPv4",traffic_policy="internal"} 0\n`);
  });

  test('R-55: packets to NodePorts of 127.0.0.0/8', async () => {
    metrics.localhostNodePortPackets(9);
    expect((await get(server.port, '/metrics')).body).toContain(
      'kubeproxy_iptables_localhost_nodeports_accepted_packets_total 9\n',
    );
  });

  test('the maps and counters of the kernel are read at each scrape', async () => {
    let packets = 10;
    metrics.onScrape(async () => {
      metrics.datapath('FORWARDED', packets++, 1500);
      metrics.mapEntries('flows', 3, 524288);
    });
    metrics.driftRows(2);
    metrics.buildInfo({ version: '0.1.0', schema: '1', kernel: '6.18' });
    await get(server.port, '/metrics');
    const { body } = await get(server.port, '/metrics');
    for (const line of [
      'sluice_datapath_packets_total{reason="FORWARDED"} 11',
      'sluice_datapath_bytes_total{reason="FORWARDED"} 1500',
      'sluice_map_entries{map="flows"} 3',
      'sluice_map_max_entries{map="flows"} 524288',
      'sluice_drift_rows_total 2',
      'sluice_agent_build_info{version="0.1.0",schema="1",kernel="6.18"} 1',
    ]) {
      expect(body).toContain(`${line}\n`);
    }
  });

  test('a scrape that fails answers 500 and the server goes on', async () => {
    metrics.onScrape(() => {
      throw new Error('read map flows: gone');
    });
    expect(await get(server.port, '/metrics')).toMatchObject({ code: 500, body: 'read map flows: gone\n' });
    expect(await get(server.port, '/healthz')).toMatchObject({ code: 200 });
  });
});
