/** What the server was asked, for tests of how often clients ask. */
import type { RequestInfo, Verb } from './request.ts';
import { resourceName } from './resources.ts';

export interface LoggedRequest {
  readonly verb: Verb;
  readonly resource: string;
  readonly user: string;
  readonly query: URLSearchParams;
}

export interface Counters {
  /** Of the requests since the start or the last reset. */
  count(verb?: Verb, resource?: string): number;
  /** The latest requests, oldest first. */
  readonly log: readonly LoggedRequest[];
  reset(): void;
}

const LOG_LIMIT = 10_000;

export function createCounters(): Counters & { add(info: RequestInfo, user: string): void } {
  let log: LoggedRequest[] = [];
  const counts = new Map<string, number>();
  return {
    get log() {
      return log;
    },
    count(verb, resource) {
      let sum = 0;
      for (const [key, count] of counts) {
        const [v, r] = key.split(' ');
        if ((verb === undefined || v === verb) && (resource === undefined || r === resource)) sum += count;
      }
      return sum;
    },
    reset() {
      log = [];
      counts.clear();
    },
    add(info, user) {
      const resource = resourceName(info.resource);
      const key = `${info.verb} ${resource}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
      log.push({ verb: info.verb, resource, user, query: info.query });
      if (log.length > LOG_LIMIT) log = log.slice(-LOG_LIMIT / 2);
    },
  };
}
