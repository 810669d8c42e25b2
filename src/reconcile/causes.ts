/** Which objects a change of a Service came from: what was heard since the last sync. */
import { type Cause, type ChangeRecord, cleanText } from '../model/history.ts';
import type { KubernetesObject } from '../model/kubernetes.ts';

const TRIGGER = 'endpoints.kubernetes.io/last-change-trigger-time';
/** Objects of one Service that are named; the others are counted. */
const MAX_NAMED = 8;

/** What a record says of where its change came from. */
export type Origin = Pick<ChangeRecord, 'by' | 'moreBy' | 'triggered' | 'heard'>;

export interface Causes {
  /**
   * An object of a Service changed.
   * @param key `namespace/name` of the object @param object undefined: it is gone
   * @param services `namespace/name` of the Services whose it is
   */
  heard(kind: Cause['kind'], key: string, object: KubernetesObject | undefined, services: readonly string[]): void;
  of(service: string): Origin;
  /** What was heard is in force; but for these Services, which are tried again. */
  clear(failed: ReadonlySet<string>): void;
}

interface Heard {
  readonly by: Cause[];
  more: number;
  readonly at: number;
  triggered: number | undefined;
}

/** @param clock milliseconds since the epoch */
export function createCauses(clock: () => number): Causes {
  const heard = new Map<string, Heard>();
  const started = clock();
  /** The last change of each Service's endpoints that was told: slices that change for another reason repeat it. */
  const told = new Map<string, number>();

  return {
    heard(kind, key, object, services) {
      const version = cleanText(object?.metadata?.resourceVersion);
      const cause: Cause = {
        kind,
        name: cleanText(key, 320),
        ...(version !== '' && { version }),
        ...(object === undefined && { gone: true as const }),
      };
      const trigger = kind === 'EndpointSlice' ? triggerOf(object) : undefined;
      for (const service of services) {
        const entry = heard.get(service) ?? { by: [], more: 0, at: clock(), triggered: undefined };
        heard.set(service, entry);
        const known = entry.by.findIndex((other) => other.kind === kind && other.name === cause.name);
        if (known >= 0) entry.by[known] = cause;
        else if (entry.by.length < MAX_NAMED) entry.by.push(cause);
        else entry.more++;
        if (trigger === undefined || trigger <= (told.get(service) ?? started)) continue;
        // The first of them has waited longest.
        entry.triggered = Math.min(entry.triggered ?? trigger, trigger);
        told.set(service, trigger);
      }
    },

    of(service) {
      const entry = heard.get(service);
      if (entry === undefined) return { by: [] };
      return {
        by: entry.by,
        ...(entry.more > 0 && { moreBy: entry.more }),
        ...(entry.triggered !== undefined && { triggered: entry.triggered }),
        heard: entry.at,
      };
    },

    clear(failed) {
      for (const [service, { by }] of heard) {
        if (failed.has(service)) continue;
        heard.delete(service);
        if (by.some(({ kind, gone }) => kind === 'Service' && gone)) told.delete(service);
      }
    },
  };
}

/** @returns ms since the epoch. */
function triggerOf(object: KubernetesObject | undefined): number | undefined {
  const text: unknown = object?.metadata?.annotations?.[TRIGGER];
  const time = typeof text === 'string' && text.length < 64 ? Date.parse(text) : Number.NaN;
  return Number.isFinite(time) ? time : undefined;
}
