/** kube-proxy's metrics of a running agent, each moved by what it measures and left alone by the rest. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { EndpointSlice, KubernetesObject, Node } from '../../src/model/kubernetes.ts';
import { writeConfiguration } from '../support/cluster/configuration.ts';
import { dial } from '../support/cluster/dial.ts';
import { type Scrape, scrape } from '../support/cluster/metrics.ts';
import { addressesOf, nodePortOf, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import type { IpFamily } from '../support/lab/addressing.ts';
import type { Agent } from '../support/lab/agent.ts';
import { nodeObject } from '../support/lab/nodes.ts';
import { poll } from '../support/lab/poll.ts';

const FAMILIES: readonly IpFamily[] = ['IPv4', 'IPv6'];
const WEB = 11;
const EXTRA = 12;
const TRIGGER = 'endpoints.kubernetes.io/last-change-trigger-time';
const WAIT = { timeoutMs: 30_000, everyMs: 50 };

let rig: Rig;
let agent: Agent;
/** After the start of the agent, in milliseconds since the epoch. */
let started: number;
let revision = 0;

beforeAll(async () => {
  rig = await createRig({ podsPerNode: 1 });
  rig.manifests.write('web.json', web());
});
afterAll(() => rig?.lab.destroy());

const web = () => [service('web', WEB), ...slices('web', [rig.lab.pod(1, 1)])];
const read = () => scrape(rig.lab.node(1));
const of = (name: string, family: IpFamily) => `kubeproxy_${name}{ip_family="${family}"}`;
const both = (metrics: Scrape, name: string) => FAMILIES.map((family) => metrics.value(of(name, family)));
/** By how much a metric has grown, in each family. */
const grown = (before: Scrape, after: Scrape, name: string) =>
  FAMILIES.map((family) => after.value(of(name, family)) - before.value(of(name, family)));

async function start(timing: Record<string, string>): Promise<void> {
  await agent?.stop();
  agent = await rig.startAgent(1, { config: writeConfiguration(rig.lab, { iptables: timing }, 'timing') });
  started = Date.now();
}

/** Puts objects in place of those before, with a Service that differs each time; resolves when they are in force. */
async function apply(objects: readonly KubernetesObject[]): Promise<void> {
  const marker = service('marker', 200, { type: 'ClusterIP', externalIPs: [], ports: [{ port: ++revision }] });
  const value = (metrics: Scrape) => metrics.value(of('sync_proxy_rules_service_changes_total', 'IPv4'));
  const before = value(await read());
  rig.manifests.write('extra.json', [...objects, marker]);
  await poll(
    'see the change in force',
    async () => {
      const now = await read();
      const pending = ['service', 'endpoint'].flatMap((kind) => both(now, `sync_proxy_rules_${kind}_changes_pending`));
      return value(now) !== before && pending.every((count) => count === 0);
    },
    WAIT,
  );
}

describe('an agent at rest', () => {
  beforeAll(() => start({ syncPeriod: '1h', minSyncPeriod: '0s' }));
  beforeEach(() => apply([]));

  it('shows each by its labels from the start (R-82)', async () => {
    const walks = 'kubeproxy_conntrack_reconciler_sync_duration_seconds_count';
    await poll('see a walk over the flow tables', async () => (await read()).labels(walks).length > 0, WAIT);
    const metrics = await read();
    for (const name of [
      'sync_proxy_rules_duration_seconds_count',
      'sync_full_proxy_rules_duration_seconds_count',
      'sync_proxy_rules_last_timestamp_seconds',
      'sync_proxy_rules_last_queued_timestamp_seconds',
      'sync_proxy_rules_endpoint_changes_total',
      'sync_proxy_rules_endpoint_changes_pending',
      'sync_proxy_rules_service_changes_total',
      'sync_proxy_rules_service_changes_pending',
      'conntrack_reconciler_sync_duration_seconds_count',
      'conntrack_reconciler_deleted_entries_total',
    ])
      expect([name, metrics.labels(`kubeproxy_${name}`)]).toEqual([name, ['ip_family="IPv4"', 'ip_family="IPv6"']]);
    expect(metrics.labels('kubeproxy_sync_proxy_rules_no_local_endpoints_total')).toHaveLength(4);
    for (const name of ['proxy_healthz_total', 'proxy_livez_total'])
      expect(metrics.labels(`kubeproxy_${name}`)).toEqual(['code="200"', 'code="503"']);
    expect(both(metrics, 'sync_full_proxy_rules_duration_seconds_count')).toEqual([1, 1]);
  });

  it('counts changes, and syncs of changes alone, in both families (R-82)', async () => {
    const before = await read();
    await apply([service('extra', EXTRA), ...slices('extra', [rig.lab.pod(2, 1)])]);
    const after = await read();
    // With that of the marker.
    expect(grown(before, after, 'sync_proxy_rules_service_changes_total')).toEqual([2, 2]);
    expect(grown(before, after, 'sync_proxy_rules_endpoint_changes_total')).toEqual([2, 2]);
    const partial = grown(before, after, 'sync_partial_proxy_rules_duration_seconds_count');
    expect(partial[0]).toBeGreaterThanOrEqual(1);
    expect(partial[1]).toBe(partial[0]);
    expect(grown(before, after, 'sync_proxy_rules_duration_seconds_count')).toEqual(partial);
    expect(grown(before, after, 'sync_full_proxy_rules_duration_seconds_count')).toEqual([0, 0]);
    for (const name of ['sync_proxy_rules_last_timestamp_seconds', 'sync_proxy_rules_last_queued_timestamp_seconds'])
      for (const seconds of grown(before, after, name)) expect([name, seconds > 0]).toEqual([name, true]);
  });

  it('measures from the change of the endpoints, and a change of the Service not at all (R-83)', async () => {
    const withTrigger = (slice: EndpointSlice, time: number): EndpointSlice => ({
      ...slice,
      metadata: { ...slice.metadata, annotations: { [TRIGGER]: new Date(time).toISOString() } },
    });
    const latency = 'network_programming_duration_seconds';
    const extra = (port: number) => service('extra', EXTRA, { ports: [{ name: 'http', port }] });
    await apply([extra(80), ...slices('extra', [rig.lab.pod(1, 1)])]);
    const endpoints = slices('extra', [rig.lab.pod(2, 1)]).map((slice) => withTrigger(slice, started));
    expect((await read()).labels(`kubeproxy_${latency}_count`)).toEqual([]);
    const least = (Date.now() - started) / 1000;
    await apply([extra(80), ...endpoints]);
    const after = await read();
    const most = (Date.now() - started) / 1000;
    expect(both(after, `${latency}_count`)).toEqual([1, 1]);
    for (const seconds of both(after, `${latency}_sum`)) {
      expect(seconds).toBeGreaterThanOrEqual(least);
      expect(seconds).toBeLessThanOrEqual(most);
    }
    await apply([extra(81), ...endpoints]);
    expect(both(await read(), `${latency}_count`)).toEqual([1, 1]);
  });

  it('counts ServicePorts without local endpoints while they have none (R-31)', async () => {
    const counts = async () => {
      const metrics = await read();
      return ['internal', 'external'].flatMap((policy) =>
        FAMILIES.map((family) =>
          metrics.value(
            `kubeproxy_sync_proxy_rules_no_local_endpoints_total{ip_family="${family}",traffic_policy="${policy}"}`,
          ),
        ),
      );
    };
    const ipv4 = { ipFamilies: ['IPv4'], clusterIPs: [addressesOf(EXTRA).clusterIp.IPv4], externalIPs: [] };
    const far = slices('extra', [rig.lab.pod(2, 1)]);
    expect(await counts()).toEqual([0, 0, 0, 0]);
    await apply([service('extra', EXTRA, { internalTrafficPolicy: 'Local' }), ...far]);
    expect(await counts()).toEqual([3, 3, 0, 0]);
    await apply([service('extra', EXTRA, { ...ipv4, externalTrafficPolicy: 'Local' }), ...far]);
    expect(await counts()).toEqual([0, 0, 3, 0]);
    await apply([
      service('extra', EXTRA, { ...ipv4, externalTrafficPolicy: 'Local' }),
      ...slices('extra', [rig.lab.pod(1, 1)]),
    ]);
    expect(await counts()).toEqual([0, 0, 0, 0]);
  });

  it('counts answers of /healthz and /livez by code (R-82)', async () => {
    const codes = async () => {
      const metrics = await read();
      return ['healthz', 'livez'].flatMap((path) =>
        ['200', '503'].map((code) => metrics.value(`kubeproxy_proxy_${path}_total{code="${code}"}`)),
      );
    };
    const get = (path: string) => rig.lab.node(1).exec(['curl', '-s', `http://127.0.0.1:10256/${path}`]);
    expect(await codes()).toEqual([0, 0, 0, 0]);
    await get('healthz');
    await get('livez');
    expect(await codes()).toEqual([1, 0, 1, 0]);
    const node = nodeObject(rig.lab.node(1));
    const taints = [{ key: 'ToBeDeletedByClusterAutoscaler', effect: 'NoSchedule' }];
    const leaving: Node = { ...node, spec: { ...node.spec, taints } };
    await apply([service('extra', EXTRA), leaving]);
    await get('healthz');
    await get('livez');
    expect(await codes()).toEqual([1, 1, 2, 0]);
  });

  it('tells what the walk over the flow tables removed, by family (R-66, R-82)', async () => {
    const deleted = 'conntrack_reconciler_deleted_entries_total';
    const walks = 'conntrack_reconciler_sync_duration_seconds_count';
    for (const family of FAMILIES) {
      await apply([service('extra', EXTRA), ...slices('extra', [rig.lab.pod(1, 1)])]);
      const { ipv4, ipv6 } = rig.lab.node(1);
      const { who } = await dial(rig.lab.client(), 'udp', family === 'IPv4' ? ipv4 : ipv6, nodePortOf(EXTRA), 10_000);
      expect(who).toBe('node1-pod1');
      const before = await read();
      await apply([service('extra', EXTRA), ...slices('extra', [rig.lab.pod(2, 1)])]);
      const after = await poll(
        'see the flow go',
        async () => {
          const metrics = await read();
          return metrics.value(of(deleted, family)) > before.value(of(deleted, family)) && metrics;
        },
        WAIT,
      );
      const other = family === 'IPv4' ? 'IPv6' : 'IPv4';
      expect(after.value(of(deleted, other))).toBe(before.value(of(deleted, other)));
      const [more4, more6] = grown(before, after, walks);
      expect(more4).toBeGreaterThanOrEqual(1);
      expect(more6).toBe(more4);
    }
  });
});

it('what waits for the next sync is pending, and queued later than the last sync (R-82)', async () => {
  await start({ syncPeriod: '1h', minSyncPeriod: '1h' });
  const before = await read();
  rig.manifests.write('late.json', [service('late', EXTRA + 1), ...slices('late', [rig.lab.pod(1, 1)])]);
  const after = await poll(
    'see it pending',
    async () => {
      const metrics = await read();
      return both(metrics, 'sync_proxy_rules_endpoint_changes_pending').every((count) => count > 0) && metrics;
    },
    WAIT,
  );
  expect(both(after, 'sync_proxy_rules_service_changes_pending')).toEqual([1, 1]);
  expect(both(after, 'sync_proxy_rules_endpoint_changes_pending')).toEqual([2, 2]);
  expect(grown(before, after, 'sync_proxy_rules_last_timestamp_seconds')).toEqual([0, 0]);
  for (const seconds of grown(before, after, 'sync_proxy_rules_last_queued_timestamp_seconds'))
    expect(seconds).toBeGreaterThan(0);
});

it('full syncs are counted apart, also when nothing changes (R-82, R-86)', async () => {
  await start({ syncPeriod: '1s', minSyncPeriod: '0s' });
  const before = await read();
  const after = await poll(
    'see full syncs',
    async () => {
      const metrics = await read();
      return grown(before, metrics, 'sync_full_proxy_rules_duration_seconds_count').every((n) => n >= 2) && metrics;
    },
    WAIT,
  );
  for (const syncs of grown(before, after, 'sync_proxy_rules_duration_seconds_count'))
    expect(syncs).toBeGreaterThanOrEqual(2);
  for (const seconds of grown(before, after, 'sync_proxy_rules_last_timestamp_seconds'))
    expect(seconds).toBeGreaterThan(0);
});
