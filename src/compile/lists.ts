/** The two lists of a port, decided independently of each other (R-18…R-21). */

import type { Backend, ListName } from '../model/compiled.ts';
import { exact } from '../model/exact.ts';
import type { PortEndpoint } from './endpoints.ts';
import { filterByTopology } from './topology.ts';

const EMPTY: readonly Backend[] = [];

export interface EndpointLists {
  readonly lists: Readonly<Record<ListName, readonly Backend[]>>;
  /** Endpoints whose flows go on: superset of both lists. */
  readonly serving: readonly Backend[];
  /** Some endpoint somewhere could take a flow, whatever policy and topology say. */
  readonly usable: boolean;
}

/** One of weight 0 gets no new connections, but keeps what it has: every algorithm drains it. */
const isDrained = ({ endpoint }: PortEndpoint) => endpoint.weight === 0;

/** what can be used at all, ready first; nothing else ever is. */
function readyElseTerminating(endpoints: readonly PortEndpoint[]): readonly PortEndpoint[] {
  const ready: PortEndpoint[] = [];
  for (const item of endpoints) if (item.endpoint.ready && !isDrained(item)) ready.push(item);
  if (ready.length > 0) return ready;
  return endpoints.filter((item) => item.endpoint.serving && item.endpoint.terminating && !isDrained(item));
}

export type ListBuilder = (
  endpoints: readonly PortEndpoint[],
  used: Readonly<Record<ListName, boolean>>,
) => EndpointLists;

/** @returns a builder that gives the same lists, not copies, for the same endpoints. */
export function createListBuilder(nodeName: string, zone: string | undefined): ListBuilder {
  const built = new Map<readonly PortEndpoint[], Map<string, EndpointLists>>();
  return (endpoints, used) => {
    let byUse = built.get(endpoints);
    if (byUse === undefined) {
      byUse = new Map();
      built.set(endpoints, byUse);
    }
    const use = `${used.cluster} ${used.local}`;
    let lists = byUse.get(use);
    if (lists === undefined) {
      lists = buildLists(endpoints, used, nodeName, zone);
      byUse.set(use, lists);
    }
    return lists;
  };
}

/**
 * @param endpoints of one port and family, sorted
 * @param used which lists some frontend leads to; the other stays empty
 */
function buildLists(
  endpoints: readonly PortEndpoint[],
  used: Readonly<Record<ListName, boolean>>,
  nodeName: string,
  zone: string | undefined,
): EndpointLists {
  const serving: Backend[] = [];
  for (const { endpoint, backend } of endpoints) if (endpoint.serving || endpoint.ready) serving.push(backend);
  const all = serving.length === 0 ? EMPTY : exact(serving);
  const rows = (chosen: readonly PortEndpoint[]): readonly Backend[] => {
    if (chosen.length === 0) return EMPTY;
    // Both are sorted and the one holds the other: equally long ones are equal.
    return chosen.length === all.length ? all : chosen.map((item) => item.backend);
  };
  const everywhere = readyElseTerminating(endpoints);
  // with ready endpoints the hints may narrow the list; terminating ones are taken from anywhere.
  const ready = everywhere[0]?.endpoint.ready === true;
  const cluster = used.cluster && ready ? filterByTopology(everywhere, nodeName, zone) : everywhere;
  return {
    lists: {
      cluster: used.cluster ? rows(cluster) : EMPTY,
      local: used.local ? rows(readyElseTerminating(endpoints.filter((item) => item.backend.local))) : EMPTY,
    },
    serving: all,
    usable: everywhere.length > 0,
  };
}
