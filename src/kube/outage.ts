/**
 * Tells people once that the API server is gone and once that it is back, however many requests
 * fail in between. A refusal (403, 404) is a fault of one collection and is told for each.
 */
import type { SourceListener } from '../model/source.ts';
import type { RequestFault } from './fault.ts';

export interface Outage {
  /** @param without what is missing without the collection; undefined: nothing works without it */
  failed(collection: string, fault: RequestFault, without?: string): void;
  worked(collection: string): void;
}

/** A 401 is no word on a collection: the credentials are of no use, for any. */
const REFUSALS: ReadonlySet<number | undefined> = new Set([403, 404]);

/** Is it the server's word on this collection, rather than a server in trouble? */
export function isRefusal(fault: RequestFault): boolean {
  return REFUSALS.has(fault.status);
}

export function createOutage(server: () => string, report: SourceListener['problem']): Outage {
  /** Collections that fail for a fault that all share: no connection, a server in trouble. */
  const down = new Set<string>();
  /** The server answers, but to nobody with our credentials: that was told. */
  let strangers = false;
  /** Collections that the server refuses to give, with what was told. */
  const refused = new Map<string, string>();
  function reachable(collection: string): void {
    if (!down.delete(collection) || down.size > 0) return;
    strangers = false;
    report({ object: `API server ${server()}`, message: 'is back' });
  }

  return {
    failed(collection, fault, without) {
      if (!isRefusal(fault)) {
        const object = `API server ${server()}`;
        const strange = fault.status === 401;
        if (down.size === 0 || (strange && !strangers))
          report({ object, message: `read ${collection}: ${fault.message}; retrying` });
        strangers ||= strange;
        down.add(collection);
        return;
      }
      reachable(collection);
      if (refused.get(collection) === fault.message) return;
      refused.set(collection, fault.message);
      report({
        object: collection,
        message: `read ${collection}: ${fault.message}; ${
          without === undefined ? 'bind the role system:node-proxier' : `going on without: ${without}`
        }`,
      });
    },
    worked(collection) {
      if (refused.delete(collection)) report({ object: collection, message: `read ${collection}: works again` });
      reachable(collection);
    },
  };
}
