/** What Prometheus reads: kube-proxy's names and labels, then our own. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Family } from '../model/address.ts';

/** Times are in seconds; timestamps in seconds since the epoch. */
export interface Metrics {
  readonly registry: Registry;
  /** One sync; `full` compared everything, else only what had changed. */
  syncDuration(family: Family, seconds: number, full: boolean): void;
  /** The last successful sync. */
  lastTimestamp(family: Family, time: number): void;
  /** The last time that a sync was asked for. */
  queuedTimestamp(family: Family, time: number): void;
  /** From the change of a pod or Service to the moment it is in force. */
  networkProgramming(family: Family, seconds: number): void;
  endpointChanges(family: Family, count: number): void;
  endpointChangesPending(family: Family, count: number): void;
  serviceChanges(family: Family, count: number): void;
  serviceChangesPending(family: Family, count: number): void;
  /** ServicePorts with endpoints of which none is here, whose policy is Local. */
  noLocalEndpoints(family: Family, policy: 'internal' | 'external', count: number): void;
  proxyHealthz(code: 200 | 503): void;
  proxyLivez(code: 200 | 503): void;
  /** A walk over the flow tables that deletes flows of backends that are gone, or whose time is over. */
  conntrackReconciled(family: Family, seconds: number, deleted: number): void;
  /** Packets to 127.0.0.0/8 NodePorts since the data path was loaded. */
  localhostNodePortPackets(total: number): void;
  mapEntries(map: string, entries: number, maxEntries: number): void;
  /** Entries of a flow table at its last walk, and those that a full table has given up so far. */
  flows(table: 'established' | 'half_open', entries: number, evicted: number): void;
  /** Packets that left the data path with a reason, and their bytes, since it was loaded. */
  datapath(reason: string, packets: number, bytes: number): void;
  /** Seconds that the event loop was held up at most: since the last scrape, and since the start. */
  loopDelay(recent: number, worst: number): void;
  /** What could not be put in force at the last sync, and is tried again. */
  unapplied(kind: 'service' | 'device' | 'row', count: number): void;
  /** Rows that were not what they should have been, and were repaired. */
  driftRows(count: number): void;
  /** Programs that were found detached, or replaced by others. */
  linksLost(count: number): void;
  /** The last word from the API server, in seconds since the epoch. */
  apiLastHeard(time: number): void;
  /** Lines of the log that could not be written, since the start. */
  logLinesDropped(total: number): void;
  buildInfo(labels: { readonly version: string; readonly schema: string; readonly kernel: string }): void;
  /** Called at each scrape, before the answer is made: the place to read the kernel's maps. */
  onScrape(read: () => void | Promise<void>): void;
  /** @returns the text exposition. */
  scrape(): Promise<string>;
}

const FAMILIES: readonly Family[] = ['IPv4', 'IPv6'];
const POLICIES = ['internal', 'external'] as const;

/** kube-proxy's buckets, in seconds: 1 ms doubled up to 16.384 s. */
const SYNC_BUCKETS = Array.from({ length: 15 }, (_, i) => 0.001 * 2 ** i);

/** kube-proxy's buckets of network programming latency, in seconds. */
const PROGRAMMING_BUCKETS = [
  0,
  ...linear(0.25, 0.25, 2),
  ...linear(1, 1, 59),
  ...linear(60, 5, 12),
  ...linear(120, 30, 7),
];

/** @returns a registry of its own with every metric; with `processMetrics` those of Node.js as well. */
export function createMetrics({ processMetrics = true }: { processMetrics?: boolean } = {}): Metrics {
  const registry = new Registry();
  if (processMetrics) collectDefaultMetrics({ register: registry });
  const { histogram, gauge, counter } = makers(registry);
  const family = ['ip_family'] as const;
  const SYNC = 'kubeproxy_sync_proxy_rules';

  const duration = histogram(`${SYNC}_duration_seconds`, 'Latency of a sync', family, SYNC_BUCKETS);
  const full = histogram(
    'kubeproxy_sync_full_proxy_rules_duration_seconds',
    'Latency of a full sync',
    family,
    SYNC_BUCKETS,
  );
  const partial = histogram(
    'kubeproxy_sync_partial_proxy_rules_duration_seconds',
    'Latency of a sync of changes',
    family,
    SYNC_BUCKETS,
  );
  const last = gauge(`${SYNC}_last_timestamp_seconds`, 'Time of the last successful sync', family);
  const queued = gauge(`${SYNC}_last_queued_timestamp_seconds`, 'Time when a sync was last queued', family);
  const programming = histogram(
    'kubeproxy_network_programming_duration_seconds',
    'From a change of endpoints to the moment it is in force',
    family,
    PROGRAMMING_BUCKETS,
  );
  const endpoints = counter(`${SYNC}_endpoint_changes_total`, 'Changes of endpoints', family);
  const endpointsPending = gauge(
    `${SYNC}_endpoint_changes_pending`,
    'Changes of endpoints that are not yet in force',
    family,
  );
  const services = counter(`${SYNC}_service_changes_total`, 'Changes of Services', family);
  const servicesPending = gauge(
    `${SYNC}_service_changes_pending`,
    'Changes of Services that are not yet in force',
    family,
  );
  const noLocal = gauge(
    `${SYNC}_no_local_endpoints_total`,
    'ServicePorts with a Local traffic policy and no endpoint on this node',
    ['ip_family', 'traffic_policy'],
  );
  const healthz = counter('kubeproxy_proxy_healthz_total', 'Answers of /healthz', ['code']);
  const livez = counter('kubeproxy_proxy_livez_total', 'Answers of /livez', ['code']);
  const reconciler = 'kubeproxy_conntrack_reconciler';
  const reconcileDuration = histogram(
    `${reconciler}_sync_duration_seconds`,
    'Latency of a pass over the flow table',
    family,
    SYNC_BUCKETS,
  );
  const reconcileDeleted = counter(
    `${reconciler}_deleted_entries_total`,
    'Flow entries deleted because their backend is gone or their time over',
    family,
  );
  const localhost = counter(
    'kubeproxy_iptables_localhost_nodeports_accepted_packets_total',
    'Packets accepted on NodePorts of 127.0.0.0/8',
    [],
  );

  const entries = gauge('sluice_map_entries', 'Rows in a map', ['map']);
  const maxEntries = gauge('sluice_map_max_entries', 'Rows that a map has room for', ['map']);
  const flowEntries = gauge('sluice_flow_entries', 'Entries of a flow table that live', ['table']);
  const flowEvictions = gauge(
    'sluice_flow_evicted_entries',
    'Entries that a full flow table has given up for newer ones, about',
    ['table'],
  );
  const packets = counter(
    'sluice_datapath_packets_total',
    'Packets, or calls of the socket hook, that left the data path with a reason',
    ['reason'],
  );
  const bytes = counter('sluice_datapath_bytes_total', 'Bytes of those packets, from the network header on', [
    'reason',
  ]);
  const loopDelay = gauge('sluice_event_loop_delay_max_seconds', 'Longest time that the event loop was held up', [
    'since',
  ]);
  const unapplied = gauge('sluice_unapplied', 'What could not be put in force and is tried again', ['kind']);
  const drift = counter('sluice_drift_rows_total', 'Rows of maps that were found changed and repaired', []);
  const linksLost = counter('sluice_links_lost_total', 'Programs that somebody detached, attached again', []);
  const apiHeard = gauge('sluice_api_last_heard_timestamp_seconds', 'Time of the last word from the API server', []);
  const logDropped = counter('sluice_log_lines_dropped_total', 'Lines of the log that could not be written', []);
  const build = gauge('sluice_agent_build_info', 'Constant 1; what runs is in the labels', [
    'version',
    'schema',
    'kernel',
  ]);

  for (const ip_family of FAMILIES) {
    for (const metric of [endpoints, services, reconcileDeleted]) metric.inc({ ip_family }, 0);
    for (const metric of [last, queued, endpointsPending, servicesPending]) metric.set({ ip_family }, 0);
    for (const traffic_policy of POLICIES) noLocal.set({ ip_family, traffic_policy }, 0);
  }
  for (const kind of ['service', 'device', 'row']) unapplied.set({ kind }, 0);
  for (const code of ['200', '503']) for (const metric of [healthz, livez]) metric.inc({ code }, 0);

  const readers: (() => void | Promise<void>)[] = [];
  return {
    registry,
    syncDuration(ip_family, seconds, isFull) {
      duration.observe({ ip_family }, seconds);
      (isFull ? full : partial).observe({ ip_family }, seconds);
    },
    lastTimestamp: (ip_family, time) => last.set({ ip_family }, time),
    queuedTimestamp: (ip_family, time) => queued.set({ ip_family }, time),
    networkProgramming: (ip_family, seconds) => programming.observe({ ip_family }, seconds),
    endpointChanges: (ip_family, count) => endpoints.inc({ ip_family }, count),
    endpointChangesPending: (ip_family, count) => endpointsPending.set({ ip_family }, count),
    serviceChanges: (ip_family, count) => services.inc({ ip_family }, count),
    serviceChangesPending: (ip_family, count) => servicesPending.set({ ip_family }, count),
    noLocalEndpoints: (ip_family, traffic_policy, count) => noLocal.set({ ip_family, traffic_policy }, count),
    proxyHealthz: (code) => healthz.inc({ code: String(code) }),
    proxyLivez: (code) => livez.inc({ code: String(code) }),
    conntrackReconciled(ip_family, seconds, deleted) {
      reconcileDuration.observe({ ip_family }, seconds);
      reconcileDeleted.inc({ ip_family }, deleted);
    },
    localhostNodePortPackets: (total) => setTotal(localhost, {}, total),
    mapEntries(map, used, room) {
      entries.set({ map }, used);
      maxEntries.set({ map }, room);
    },
    flows(table, present, evicted) {
      flowEntries.set({ table }, present);
      flowEvictions.set({ table }, evicted);
    },
    datapath(reason, packetTotal, byteTotal) {
      setTotal(packets, { reason }, packetTotal);
      setTotal(bytes, { reason }, byteTotal);
    },
    loopDelay(recent, worst) {
      loopDelay.set({ since: 'last_scrape' }, recent);
      loopDelay.set({ since: 'start' }, worst);
    },
    unapplied: (kind, count) => unapplied.set({ kind }, count),
    driftRows: (count) => drift.inc(count),
    linksLost: (count) => linksLost.inc(count),
    apiLastHeard: (time) => apiHeard.set({}, time),
    logLinesDropped: (total) => setTotal(logDropped, {}, total),
    buildInfo: (labels) => build.set(labels, 1),
    onScrape(read) {
      readers.push(read);
    },
    async scrape() {
      for (const read of readers) await read();
      return registry.metrics();
    },
  };
}

/** The kernel counts; the metric shows its total. */
function setTotal<L extends string>(counter: Counter<L>, labels: Partial<Record<L, string>>, total: number): void {
  counter.remove(labels);
  counter.inc(labels, total);
}

function makers(registry: Registry) {
  const common = <L extends string>(name: string, help: string, labelNames: readonly L[]) => {
    return { name, help, labelNames: [...labelNames], registers: [registry] };
  };
  return {
    histogram: <L extends string>(name: string, help: string, labels: readonly L[], buckets: number[]) =>
      new Histogram({ ...common(name, help, labels), buckets }),
    gauge: <L extends string>(name: string, help: string, labels: readonly L[]) =>
      new Gauge(common(name, help, labels)),
    counter: <L extends string>(name: string, help: string, labels: readonly L[]) =>
      new Counter(common(name, help, labels)),
  };
}

function linear(start: number, width: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => start + width * i);
}
