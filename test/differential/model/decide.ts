/** The rules of a Kubernetes Service, for one client that dials one destination: what must come of it. */
import type { Probe } from '../case.ts';
import { deviceTowards, familyNumber, MASQUERADE } from '../world.ts';
import { canDetectPods, deviceOf, isNode, isPod } from './clients.ts';
import { type Cluster, masqueradeAll, nodeAddresses, ownAddresses } from './cluster.ts';
import { type Lists, listsOf, type Target, targetsOf } from './endpoints.ts';
import { type Frontend, findFrontend, sourceRanges } from './frontends.ts';
import { holds } from './network.ts';

export interface Choice {
  readonly address: string;
  readonly port: number;
  /** The source address that the backend sees. */
  readonly source: string;
  /** It is an address of this node. */
  readonly local: boolean;
  /** A limit: what the node sends past the socket hook does not reach a process of the same node. */
  readonly unreachable?: boolean;
}

export interface Expected {
  readonly outcome: 'not ours' | 'rejected' | 'dropped' | 'forwarded';
  /** Where it is decided. */
  readonly at: 'socket' | 'packet';
  /** For people. */
  readonly why: string;
  /** For `forwarded`: one of these. */
  readonly choices: readonly Choice[];
  /** The destination is an address of this node. */
  readonly local: boolean;
  readonly frontend?: Frontend;
}

/** R-60…R-64. */
function isAllowed(cluster: Cluster, probe: Probe, frontend: Frontend, atSocket: boolean): boolean {
  const ranges = sourceRanges(frontend);
  if (ranges === undefined) return true;
  const nodeAllowed = nodeAddresses(cluster, probe.source).some((own) => ranges.some((range) => holds(range, own)));
  // At the socket the node's own source is not chosen yet: the node is allowed or it is not.
  if (atSocket) return nodeAllowed;
  if (nodeAllowed && probe.source === probe.destination) return true;
  return ranges.some((range) => holds(range, probe.source));
}

/**
 * Deliberate differences: the socket path leaves to packets what needs a pod's address (affinity, source
 * ranges), and everything of pods with masqueradeAll; a node that the ranges shut out is dropped per packet.
 */
function isServedAtSocket(cluster: Cluster, probe: Probe, frontend: Frontend): boolean {
  if (!probe.process || probe.protocol === 'SCTP') return false;
  if (probe.client === 'node') return isAllowed(cluster, probe, frontend, true);
  if (cluster.socketLb !== 'all' || masqueradeAll(cluster.configuration)) return false;
  return frontend.spec.sessionAffinity !== 'ClientIP' && sourceRanges(frontend) === undefined;
}

/** …R-40. */
function isMasqueraded(cluster: Cluster, probe: Probe, { kind, spec }: Frontend, target: Target): boolean {
  if (target.address === probe.source) return true;
  // Deliberate difference: the answer of a backend elsewhere must come back by this node.
  if (deviceOf(probe) === 'node0' && !target.local) return true;
  if (kind === 'ClusterIP') {
    if (masqueradeAll(cluster.configuration)) return true;
    return canDetectPods(cluster, probe.source) && !isPod(cluster, probe);
  }
  if (spec.externalTrafficPolicy !== 'Local') return true;
  return !isPod(cluster, probe) && isNode(cluster, probe);
}

/** What is delivered on this node does not leave, so nothing is masqueraded. */
function sourceSeen(cluster: Cluster, probe: Probe, frontend: Frontend, target: Target, atSocket: boolean): string {
  if (atSocket || ownAddresses(cluster).includes(target.address)) return probe.source;
  if (!isMasqueraded(cluster, probe, frontend, target)) return probe.source;
  return MASQUERADE[deviceTowards(target.address)][familyNumber(probe.source)];
}

/** the list in force. */
function listInForce(
  cluster: Cluster,
  probe: Probe,
  { kind, spec }: Frontend,
  lists: Lists,
  atSocket: boolean,
): readonly Target[] {
  if (kind === 'ClusterIP') return spec.internalTrafficPolicy === 'Local' ? lists.local : lists.cluster;
  // Deliberate difference: at the socket every pod of this node is one, whatever detectLocalMode knows.
  const inside = atSocket || isPod(cluster, probe) || isNode(cluster, probe);
  return spec.externalTrafficPolicy === 'Local' && !inside ? lists.local : lists.cluster;
}

/** @param keep of a client with affinity: the backend `address port` of its last connection, while it counts */
export function decide(
  cluster: Cluster,
  probe: Probe,
  keep?: (frontend: Frontend, atSocket: boolean) => string | undefined,
): Expected {
  const { destination: address, port, protocol } = probe;
  const local = ownAddresses(cluster).includes(address) || address.startsWith('127.') || address === '::1';
  const nothing = { at: 'packet', choices: [], local } as const;
  const loopback = probe.client === 'node' && probe.process && protocol !== 'SCTP';
  const frontend = findFrontend(cluster, { address, port, protocol, loopback });
  if (frontend === undefined) return { ...nothing, outcome: 'not ours', why: 'no frontend' };
  if (frontend === 'no such port') return { ...nothing, outcome: 'rejected', why: 'R-32' };
  const atSocket = isServedAtSocket(cluster, probe, frontend);
  // A limit: what the node sends to itself past the socket hook passes no device.
  if (!atSocket && probe.client === 'node' && local)
    return { ...nothing, outcome: 'not ours', why: 'to the node itself, past the socket hook' };
  const at = atSocket ? 'socket' : 'packet';
  if (!isAllowed(cluster, probe, frontend, atSocket)) return { ...nothing, outcome: 'dropped', why: 'R-61', frontend };
  const lists = listsOf(cluster, targetsOf(cluster, frontend));
  const list = listInForce(cluster, probe, frontend, lists, atSocket);
  if (list.length === 0) {
    if (!lists.usable) return { outcome: 'rejected', at, why: 'R-28', choices: [], local, frontend };
    return { ...nothing, outcome: 'dropped', why: 'R-29, R-30', frontend };
  }
  // the remembered backend counts while it is in the list in force.
  const kept = keep?.(frontend, atSocket);
  const again = list.filter((one) => `${one.address} ${one.port}` === kept);
  const choices = (again.length > 0 ? again : list).map((target) => ({
    address: target.address,
    port: target.port,
    source: sourceSeen(cluster, probe, frontend, target, atSocket),
    local: ownAddresses(cluster).includes(target.address),
    unreachable: !atSocket && probe.client === 'node' && ownAddresses(cluster).includes(target.address),
  }));
  return { outcome: 'forwarded', at, why: frontend.kind, choices, local, frontend };
}
