/** What ClientIP affinity remembers (R-46…R-52). */
import type { Probe } from '../case.ts';
import type { Cluster } from './cluster.ts';
import { isServed } from './cluster.ts';
import { listsOf, targetsOf, Undecided } from './endpoints.ts';
import type { Frontend } from './frontends.ts';

interface Memory {
  readonly frontend: Frontend;
  backend: string;
  /** Seconds of the case's own clock. */
  at: number;
}

/** Real time goes by as well: within so many seconds of the time-out either is right. */
const MARGIN = 30;
const DEFAULT_SECONDS = 10_800;

export interface Affinity {
  /** The backend that the client must be given again; undefined: any. */
  keep(probe: Probe): (frontend: Frontend, atSocket: boolean) => string | undefined;
  connected(probe: Probe, frontend: Frontend, backend: string, atSocket: boolean): void;
  pass(seconds: number): void;
  /** After a change: forgets what may be forgotten, backends that were gone and ports without affinity. */
  changed(): void;
}

export function createAffinity(cluster: Cluster): Affinity {
  const memories = new Map<string, Memory>();
  let now = 0;

  /** Deliberate difference: processes of the node are one client. */
  const keyOf = (probe: Probe, frontend: Frontend, atSocket: boolean) =>
    [frontend.namespace, frontend.service, frontend.portName, frontend.protocol, frontend.family]
      .concat(atSocket ? 'this node' : probe.source)
      .join(' ');

  function secondsOf({ namespace, service, portName, protocol, family }: Frontend): number | undefined {
    const now = cluster.services.get(`${namespace}/${service}`);
    const has = now?.spec?.ports?.some((p) => (p.name ?? '') === portName && (p.protocol ?? 'TCP') === protocol);
    const inFamily = (now?.spec?.clusterIPs ?? [now?.spec?.clusterIP ?? '']).some(
      (ip) => ip.includes(':') === (family === 'IPv6'),
    );
    if (now === undefined || !has || !inFamily || !isServed(now) || now.spec?.sessionAffinity !== 'ClientIP')
      return undefined;
    return now.spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? DEFAULT_SECONDS;
  }

  /** Whether the backend is in one of the lists still; false when no rule decides. */
  function isListed({ frontend, backend }: Memory): boolean {
    if (secondsOf(frontend) === undefined) return false;
    try {
      const lists = listsOf(cluster, targetsOf(cluster, frontend));
      return [...lists.cluster, ...lists.local].some((one) => `${one.address} ${one.port}` === backend);
    } catch (error) {
      if (error instanceof Undecided) return false;
      throw error;
    }
  }

  return {
    keep: (probe) => (frontend, atSocket) => {
      const memory = memories.get(keyOf(probe, frontend, atSocket));
      const seconds = secondsOf(frontend);
      if (memory === undefined || seconds === undefined) return undefined;
      return now - memory.at < seconds - MARGIN ? memory.backend : undefined;
    },
    connected(probe, frontend, backend, atSocket) {
      if (secondsOf(frontend) === undefined) return;
      memories.set(keyOf(probe, frontend, atSocket), { frontend, backend, at: now });
    },
    pass(seconds) {
      now += seconds;
    },
    changed() {
      for (const [key, memory] of memories) if (!isListed(memory)) memories.delete(key);
    },
  };
}
