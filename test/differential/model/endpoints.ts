/** The endpoints of a ServicePort and the two lists made of them (R-5… …R-27). */
import type { Endpoint } from '../../../src/model/kubernetes.ts';
import type { Protocol } from '../case.ts';
import { THIS_NODE } from '../world.ts';
import type { Cluster } from './cluster.ts';

export interface Target {
  readonly address: string;
  readonly port: number;
  readonly local: boolean;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly nodes: readonly string[];
  readonly zones: readonly string[];
}

export interface Wanted {
  readonly namespace: string;
  readonly service: string;
  readonly portName: string;
  readonly protocol: Protocol;
  readonly family: 'IPv4' | 'IPv6';
}

function target(endpoint: Endpoint, port: number): Target {
  const { conditions, hints, nodeName, addresses } = endpoint;
  const names = (list: { name?: string }[] | undefined) => (list ?? []).map(({ name }) => name ?? '');
  return {
    address: addresses?.[0] ?? '',
    port,
    local: nodeName === THIS_NODE,
    ready: conditions?.ready ?? true,
    serving: conditions?.serving ?? true,
    terminating: conditions?.terminating ?? false,
    nodes: names(hints?.forNodes),
    zones: names(hints?.forZones),
  };
}

/** Two slices say different things of one address and port, and no rule says which one counts. */
export class Undecided extends Error {}

/** Every endpoint of the ServicePort, once an address and port. @throws Undecided */
export function targetsOf(cluster: Cluster, wanted: Wanted): Target[] {
  const found = new Map<string, Target>();
  for (const { metadata, addressType, ports, endpoints } of cluster.slices.values()) {
    const labels = metadata?.labels ?? {};
    if (metadata?.namespace !== wanted.namespace || labels['kubernetes.io/service-name'] !== wanted.service) continue;
    if ('service.kubernetes.io/headless' in labels || addressType !== wanted.family) continue;
    for (const { name, port, protocol } of ports ?? []) {
      if (name !== wanted.portName || (protocol ?? 'TCP') !== wanted.protocol || !port) continue;
      for (const endpoint of endpoints ?? []) {
        const one = target(endpoint, port);
        const key = `${one.address} ${one.port}`;
        const other = found.get(key);
        if (other === undefined || (other.terminating && !one.terminating)) found.set(key, one);
        else if (other.terminating === one.terminating && JSON.stringify(other) !== JSON.stringify(one))
          throw new Undecided(key);
      }
    }
  }
  return [...found.values()];
}

/** the ready endpoints that the hints keep for this node. */
function nearby(ready: readonly Target[], zone: string | undefined): readonly Target[] {
  const hintedBy = (names: (target: Target) => readonly string[], place: string) => {
    const kept = ready.filter((one) => names(one).includes(place));
    return ready.every((one) => names(one).length > 0) && kept.length > 0 ? kept : undefined;
  };
  const byNode = hintedBy((one) => one.nodes, THIS_NODE);
  const byZone = zone ? hintedBy((one) => one.zones, zone) : undefined;
  return byNode ?? byZone ?? ready;
}

export interface Lists {
  readonly cluster: readonly Target[];
  readonly local: readonly Target[];
  /** Somewhere is an endpoint that could be used. */
  readonly usable: boolean;
}

export function listsOf(cluster: Cluster, targets: readonly Target[]): Lists {
  const zone = cluster.node.metadata?.labels?.['topology.kubernetes.io/zone'];
  const ready = targets.filter((one) => one.ready);
  const leaving = targets.filter((one) => one.serving && one.terminating);
  const orElse = (first: readonly Target[], second: readonly Target[]) => (first.length > 0 ? first : second);
  const here = (list: readonly Target[]) => list.filter((one) => one.local);
  return {
    cluster: orElse(nearby(ready, zone), leaving),
    local: orElse(here(ready), here(leaving)),
    usable: ready.length > 0 || leaving.length > 0,
  };
}
