/** From the slices of a Service to the endpoints of one of its ports in one family. */
import type { Backend } from '../model/compiled.ts';
import type { ServicePort } from './service-ports.ts';
import type { Endpoint, ParsedSlice } from './slice.ts';

/** More than these are cut: no real Service has them, and the maps are shared by all. */
export const MAX_ENDPOINTS_PER_PORT = 65_536;

/** An endpoint as a backend of one port. */
export interface PortEndpoint {
  readonly endpoint: Endpoint;
  /** With the number that the endpoint's own slice gives the port. */
  readonly backend: Backend;
}

/** Lower is preferred when two slices speak of the same address and port. */
function rank({ endpoint, backend }: PortEndpoint): number {
  const { terminating, ready, serving } = endpoint;
  return (terminating ? 8 : 0) + (ready ? 0 : 4) + (serving ? 0 : 2) + (backend.local ? 0 : 1);
}

function byAddressThenRank(a: PortEndpoint, b: PortEndpoint): number {
  if (a.backend.address !== b.backend.address) return a.backend.address < b.backend.address ? -1 : 1;
  return a.backend.port - b.backend.port || rank(a) - rank(b);
}

/** @param sorted by address and port, the preferred one of equals first; changed in place */
function dropDuplicates(sorted: PortEndpoint[]): void {
  let kept = 0;
  let last: Backend | undefined;
  for (const item of sorted) {
    const { backend } = item;
    if (last !== undefined && last.address === backend.address && last.port === backend.port) continue;
    last = backend;
    sorted[kept++] = item;
  }
  sorted.length = kept;
}

export interface GatheredEndpoints {
  /** Sorted by address and port, no two the same. */
  readonly endpoints: readonly PortEndpoint[];
  /** How many were left out because there are too many. */
  readonly cut: number;
}

/** Gathers the endpoints of a ServicePort: the same result, not a copy, for ports that lead to the same. */
export type Gatherer = (wanted: Pick<ServicePort, 'family' | 'portName' | 'protocol'>) => GatheredEndpoints;

/** A slice that speaks of a port, and the number that it gives it. */
interface Source {
  readonly slice: ParsedSlice;
  readonly port: number;
}

/** Slices with more ports are looked up by an index: a Service may ask for each of 20,000. */
const INDEX_PORTS = 16;

/**
 * Ports of one Service mostly lead to the same endpoints: those of a set of slices are gathered, sorted and counted
 * once, however many ports ask.
 * @param slices in an order that does not depend on the order of events: of two equal entries the first stays
 */
export function createGatherer(slices: readonly ParsedSlice[], nodeName: string): Gatherer {
  const indexes = new Map<ParsedSlice, ReadonlyMap<string, readonly number[]>>();
  const gathered = new Map<string, GatheredEndpoints>();

  function numbersOf(slice: ParsedSlice, portName: string, protocol: string): readonly number[] {
    if (slice.ports.length <= INDEX_PORTS) {
      const own = slice.ports.filter((port) => port.name === portName && port.protocol === protocol);
      return own.map(({ port }) => port);
    }
    let index = indexes.get(slice);
    if (index === undefined) {
      index = indexPorts(slice);
      indexes.set(slice, index);
    }
    return index.get(`${portName}/${protocol}`) ?? [];
  }

  return ({ family, portName, protocol }) => {
    const sources: Source[] = [];
    let name = '';
    slices.forEach((slice, i) => {
      if (slice.family !== family) return;
      for (const port of numbersOf(slice, portName, protocol)) {
        sources.push({ slice, port });
        name += `${i}:${port} `;
      }
    });
    let result = gathered.get(name);
    if (result === undefined) {
      result = gather(sources, nodeName);
      gathered.set(name, result);
    }
    return result;
  };
}

function indexPorts({ ports }: ParsedSlice): ReadonlyMap<string, readonly number[]> {
  const index = new Map<string, number[]>();
  for (const { name, protocol, port } of ports) {
    const numbers = index.get(`${name}/${protocol}`);
    if (numbers === undefined) index.set(`${name}/${protocol}`, [port]);
    else numbers.push(port);
  }
  return index;
}

function gather(sources: readonly Source[], nodeName: string): GatheredEndpoints {
  const found: PortEndpoint[] = [];
  let cut = 0;
  for (const { slice, port } of sources) {
    for (const endpoint of slice.endpoints) {
      if (found.length >= MAX_ENDPOINTS_PER_PORT) {
        cut++;
        continue;
      }
      const { address, terminating, weight } = endpoint;
      const local = endpoint.nodeName === nodeName;
      found.push({ endpoint, backend: { address, port, local, terminating, ...(weight !== 1 && { weight }) } });
    }
  }
  found.sort(byAddressThenRank);
  dropDuplicates(found);
  return { endpoints: found, cut };
}
