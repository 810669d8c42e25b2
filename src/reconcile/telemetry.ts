/** What each sync tells metrics, health and the health check node ports. */

import { counter, REASON_SOCKET_LOCALHOST, reasons, maps as shapes } from '../../maps-schema/gen/codecs.ts';
import type { Maps, OpenMapName } from '../bpf/open-maps.ts';
import { healthCheckAddresses } from '../host/addresses.ts';
import { nodeNotEligible } from '../host/node.ts';
import type { HostState } from '../host/state.ts';
import type { Family } from '../model/address.ts';
import type { CompiledService } from '../model/compiled.ts';
import type { Configuration } from '../model/configuration.ts';
import type { Node } from '../model/kubernetes.ts';
import type { Health } from '../serve/health.ts';
import type { HealthCheckServers, ServiceHealthCheck } from '../serve/health-check-servers.ts';
import type { Metrics } from '../serve/metrics.ts';
import type { SyncResult } from './reconciler.ts';

const FAMILIES: readonly Family[] = ['IPv4', 'IPv6'];
const POLICIES = ['internal', 'external'] as const;

export interface Telemetry {
  /** Events arrived that the next sync puts in force. */
  queued(changes: { readonly services: number; readonly slices: number }): void;
  /** @param seconds duration @param full the sync looked at everything */
  synced(result: SyncResult, seconds: number, full: boolean): void;
  setNode(node: Node | undefined): void;
  /** Opens and closes health check node ports; call after `synced`, and when the host changed. */
  syncHealthChecks(host: HostState, node: Node | undefined): Promise<void>;
}

export interface TelemetryOptions {
  readonly configuration: Configuration;
  readonly metrics: Metrics;
  readonly health: Health;
  readonly healthChecks: HealthCheckServers;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
}

export function createTelemetry({ configuration, metrics, health, healthChecks, clock }: TelemetryOptions): Telemetry {
  const pending = { services: 0, slices: 0 };
  const checks = new Map<string, ServiceHealthCheck>();
  const noLocal = new Map<string, CompiledService['noLocalEndpoints']>();
  /** The last change of each Service's endpoints that was measured. */
  const triggers = new Map<string, number>();
  const started = clock();

  function tellPending(): void {
    for (const family of FAMILIES) {
      metrics.serviceChangesPending(family, pending.services);
      metrics.endpointChangesPending(family, pending.slices);
    }
  }

  function remember(service: CompiledService): void {
    const key = `${service.namespace}/${service.name}`;
    if (service.health === undefined) checks.delete(key);
    else checks.set(key, { namespace: service.namespace, name: service.name, ...service.health });
    const drops = FAMILIES.some((family) => POLICIES.some((policy) => service.noLocalEndpoints[family][policy] > 0));
    if (drops) noLocal.set(key, service.noLocalEndpoints);
    else noLocal.delete(key);
  }

  /**
   * Milliseconds since the endpoints changed, of each Service whose endpoints did: one that is compiled anew for
   * another reason brings a trigger that was measured, and what changed before the start tells nothing of us.
   */
  function takeLatencies(changed: readonly CompiledService[]): number[] {
    return changed.flatMap(({ namespace, name, lastChangeTrigger }) => {
      const key = `${namespace}/${name}`;
      if (lastChangeTrigger === undefined || lastChangeTrigger <= (triggers.get(key) ?? started)) return [];
      triggers.set(key, lastChangeTrigger);
      return Math.max(0, clock() - lastChangeTrigger);
    });
  }

  return {
    queued({ services, slices }) {
      pending.services += services;
      pending.slices += slices;
      for (const family of FAMILIES) {
        health.queued(family);
        metrics.queuedTimestamp(family, clock() / 1000);
        metrics.serviceChanges(family, services);
        metrics.endpointChanges(family, slices);
      }
      tellPending();
    },

    synced(result, seconds, full) {
      for (const service of result.changed) remember(service);
      for (const key of result.removed) {
        checks.delete(key);
        noLocal.delete(key);
        triggers.delete(key);
      }
      const latencies = takeLatencies(result.changed);
      const totals = [...noLocal.values()];
      for (const family of FAMILIES) {
        metrics.syncDuration(family, seconds, full);
        for (const policy of POLICIES) {
          const count = totals.reduce((sum, counts) => sum + counts[family][policy], 0);
          metrics.noLocalEndpoints(family, policy, count);
        }
        for (const latency of latencies) metrics.networkProgramming(family, latency / 1000);
        if (!result.sound) {
          health.failed(family);
          continue;
        }
        health.updated(family);
        metrics.lastTimestamp(family, clock() / 1000);
      }
      metrics.unapplied('service', result.applied.failed.length);
      metrics.unapplied('device', result.failedDevices);
      metrics.unapplied('row', result.failedRows);
      if (!result.sound) return;
      pending.services = 0;
      pending.slices = 0;
      tellPending();
    },

    setNode(node) {
      health.setNodeNotEligible(nodeNotEligible(node));
    },

    syncHealthChecks(host, node) {
      return healthChecks.sync(
        [...checks.values()],
        checks.size === 0 ? [] : healthCheckAddresses(host, node, configuration),
      );
    },
  };
}

/** Reads the data path's counters and the fill of the maps at each scrape. */
export function exportKernel(
  metrics: Metrics,
  maps: Maps,
  occupancy: () => Readonly<Partial<Record<OpenMapName, number>>>,
): void {
  metrics.onScrape(() => {
    for (const [index, { name }] of reasons.entries()) {
      const total = { packets: 0n, bytes: 0n };
      for (const value of maps.counters.lookup(index)) {
        const { packets, bytes } = counter.read(value, 0);
        total.packets += packets;
        total.bytes += bytes;
      }
      metrics.datapath(name, Number(total.packets), Number(total.bytes));
      if (index === REASON_SOCKET_LOCALHOST) metrics.localhostNodePortPackets(Number(total.packets));
    }
    for (const [name, entries] of Object.entries(occupancy())) {
      const { name: map } = shapes[name as OpenMapName];
      metrics.mapEntries(map, entries, maps[name as OpenMapName].shape.maxEntries);
    }
  });
}
