/** What to do about each way in which the data path refuses or drops. */
import { reasons } from '../../../maps-schema/gen/codecs.ts';

const ENDPOINTS =
  'see whether its pods are ready: kubectl get endpointslices -l kubernetes.io/service-name=NAME; "sluice events" tells when the last one left';

/** By name in `enum reason`. */
const ADVICE: Readonly<Record<string, string>> = {
  REJECT_NO_BACKEND: ENDPOINTS,
  REJECT_NO_PORT: 'dial a port that the Service has, by the right protocol, or add the port to its spec.ports',
  REJECT_LOST: 'the client has to connect again: the node was started anew, or another node had the connection',
  DROP_NO_LOCAL_BACKEND:
    'the traffic policy is Local: dial a node that has a ready pod of the Service (a load balancer learns it from the health check node port), or set the policy to Cluster',
  DROP_SOURCE_RANGE:
    "add the client's network to spec.loadBalancerSourceRanges, or dial another address of the Service",
  DROP_NO_SNAT_PORT: 'all source ports towards this backend are in use: add backends, or spread the traffic over nodes',
  DROP_NO_SNAT_ADDRESS: 'give the device towards the backend an address of this family',
  DROP_FLOW_TABLE: 'see "sluice status" for how full the flow tables are, and report this',
  DROP_NO_ROUTE: 'give this node a route to the backend: ip route get ADDRESS fails',
  DROP_CONGESTED: 'routers between the nodes drop packets of this connection: look for a link that is full',
  DROP_ANSWER_LIMIT:
    'the sender is refused too often a second to be told each time: find out who it is with "sluice drops", or what it dials',
  DROP_TTL: 'packets go in a circle, or a traceroute asked for it: see the routes between client and backend',
  DROP_PIECE: 'send smaller datagrams, or in the order of their pieces; see "sluice drops" for how many',
  DROP_REWRITE: 'the kernel refused to change the packet: report this with "sluice bundle"',
  DROP_REJECT_FAILED: 'the kernel refused to make the refusal: report this with "sluice bundle"',
  DROP_IMPOSSIBLE: 'report this with "sluice bundle"',
  DROP_NOT_BACKEND:
    'another node believes that the backend is here: its agent may be down, or behind; see its "sluice status"',
  DROP_TOO_BIG: 'lower the MTU of the sender, or raise that of the way to the backend',
  DROP_UNALLOCATED:
    'no Service has this cluster IP: the client uses an old address, or the Service was deleted; see "sluice events"',
  DROP_SOURCE:
    'nobody can send from this address by this device: a spoofed source, or routes there and back that differ; see ip route get',
  SOCKET_STALE: 'the backend of the connected UDP socket is gone: the process has to connect again',
  SOCKET_BIND_REFUSED:
    'the port is a NodePort of a Service: choose another one, or run the agent with --bind-protection off',
};

/** Reasons by which a client or a process does not get what it asked for. */
export function isFailure(reason: string): boolean {
  return reason.startsWith('DROP_') || reason.startsWith('REJECT_') || reason in ADVICE;
}

/** @returns "" for a reason that is no failure. */
export function adviceFor(reason: string): string {
  return ADVICE[reason] ?? '';
}

/** Failures without advice, and advice for what is no reason: for a test. */
export function adviceGaps(): string[] {
  const names = new Set(reasons.map(({ name }) => name));
  return [
    ...[...names].filter((name) => isFailure(name) && adviceFor(name) === ''),
    ...Object.keys(ADVICE).filter((name) => !names.has(name)),
  ];
}
