/** Is what the API says in force? A change that waits too long means no. */
import type { Family } from '../model/address.ts';

export interface FamilyHealth {
  readonly lastUpdated: string;
  readonly healthy: boolean;
}

/** As kube-proxy's /healthz prints it, in its order of keys; times are RFC 3339. */
export interface HealthReport {
  readonly lastUpdated: string;
  readonly currentTime: string;
  readonly nodeEligible?: boolean;
  readonly healthy: boolean;
  readonly status?: Readonly<Partial<Record<Family, FamilyHealth>>>;
}

export interface Health {
  /** A change for the family has arrived and is not yet in force. */
  queued(family: Family): void;
  /** Everything that had arrived for the family is in force. */
  updated(family: Family): void;
  /** Something stops everybody: nothing of what had arrived is in force. */
  failed(family: Family): void;
  /** @param reason why not, as nodeNotEligible() says it; undefined: eligible */
  setNodeNotEligible(reason: string | undefined): void;
  nodeEligible(): boolean;
  /** Healthy whatever the Node is: what /livez and health check node ports say. */
  healthy(): boolean;
  /** Healthy, and what the API said at the start has been in force once: what /readyz says. */
  ready(): boolean;
  report(): HealthReport;
}

export interface HealthOptions {
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
  /** Milliseconds; a change may wait twice as long. */
  readonly syncPeriod: number;
}

/** What Go prints for no time at all. */
const NEVER = '0001-01-01T00:00:00Z';

const FAMILIES: readonly Family[] = ['IPv4', 'IPv6'];

export function createHealth({ clock, syncPeriod }: HealthOptions): Health {
  const lastUpdated = new Map<Family, number>();
  const oldestQueued = new Map<Family, number>();
  /** Of families that were never in force: when that was first tried in vain. */
  const failedSince = new Map<Family, number>();
  let eligible = true;

  /**
   * A family that was never synced is starting up: it counts as healthy, as in kube-proxy, but not when it has been
   * tried in vain for as long as a change may wait.
   */
  const isHealthy = (family: Family, now: number): boolean => {
    const since = lastUpdated.has(family) ? oldestQueued.get(family) : failedSince.get(family);
    return since === undefined || now - since < 2 * syncPeriod;
  };

  return {
    queued(family) {
      if (!oldestQueued.has(family)) oldestQueued.set(family, clock());
    },
    updated(family) {
      oldestQueued.delete(family);
      failedSince.delete(family);
      lastUpdated.set(family, clock());
    },
    failed(family) {
      if (!lastUpdated.has(family) && !failedSince.has(family)) failedSince.set(family, clock());
    },
    setNodeNotEligible(reason) {
      eligible = reason === undefined;
    },
    nodeEligible: () => eligible,
    healthy() {
      const now = clock();
      return FAMILIES.every((family) => isHealthy(family, now));
    },
    ready() {
      const now = clock();
      return FAMILIES.every((family) => lastUpdated.has(family) && isHealthy(family, now));
    },
    report() {
      const now = clock();
      const families = FAMILIES.filter((family) => lastUpdated.has(family) || failedSince.has(family));
      const healthy = families.every((family) => isHealthy(family, now));
      const newest = lastUpdated.size > 0 ? Math.max(...lastUpdated.values()) : undefined;
      const rows = families.map((family) => [
        family,
        { lastUpdated: format(lastUpdated.get(family)), healthy: isHealthy(family, now) },
      ]);
      return {
        lastUpdated: format(newest),
        currentTime: format(now),
        healthy,
        ...(rows.length > 0 ? { status: Object.fromEntries(rows) } : {}),
      };
    },
  };
}

function format(milliseconds: number | undefined): string {
  return milliseconds === undefined ? NEVER : new Date(milliseconds).toISOString();
}
