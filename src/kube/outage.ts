/**
 * Tells people once that the API server is gone and once that it is back, however many requests
 * fail in between. A refusal (401, 403, 404) is a fault of one collection and is told for each.
 */
import type { SourceListener } from '../model/source.ts';
import type { RequestFault } from './fault.ts';

export interface Outage {
  /** @param without what is missing without the collection; undefined: nothing works without it */
  failed(collection: string, fault: RequestFault, without?: string): void;
  worked(collection: string): void;
}

const REFUSALS: ReadonlySet<number | undefined> = new Set([401, 403, 404]);

/** Is it the server's word on this collection, rather than a server in trouble? */
export function isRefusal(fault: RequestFault): boolean {
  return REFUSALS.has(fault.status);
}

export function createOutage(server: string, report: SourceListener['problem']): Outage {
  /** Collections that fail for a fault that all share: no connection, a server in trouble. */
  const down = new Set<string>();
  /** Collections that the server refuses to give, with what was told. */
  const refused = new Map<string, string>();
  const object = `API server ${server}`;

  function reachable(collection: string): void {
    if (down.delete(collection) && down.size === 0) report({ object, message: 'is back' });
  }

  return {
    failed(collection, fault, without) {
      if (!isRefusal(fault)) {
        if (down.size === 0) report({ object, message: `read ${collection}: ${fault.message}; retrying` });
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
