/** Random probes of what is there, and of what is beside it. */
import { isIP } from 'node:net';
import type { EndpointSlice, Service } from '../../../src/model/kubernetes.ts';
import { NODE, NODE_SECOND } from '../../support/packet/network.ts';
import type { ClientKind, Probe, Protocol } from '../case.ts';
import {
  type FamilyNumber,
  familyNumber,
  NODE_PORTS,
  OTHER_NODES,
  OUTSIDE,
  OWN_ADDRESSES,
  POD_CLIENT,
  PODS,
  PORTS,
  REMOTE_POD_CLIENT,
  STRAY_POD,
} from '../world.ts';
import type { Choose } from './choose.ts';

export interface Surroundings {
  readonly services: readonly Service[];
  readonly slices: readonly EndpointSlice[];
  readonly bound: readonly string[];
}

type Destination = Pick<Probe, 'destination' | 'port' | 'protocol'>;

/** Those that a Service may be dialled at, NodePorts aside. */
export function addressesOf({ spec, status }: Service): string[] {
  const ingress = (status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => ip ?? []);
  return [...(spec?.clusterIPs ?? []).filter((ip) => ip !== 'None'), ...(spec?.externalIPs ?? []), ...ingress];
}

function generateDestination({ services, slices, bound }: Surroundings, random: Choose): Destination | undefined {
  const { pick, one, oneIn, below } = random;
  const anyProtocol = one<Protocol>('TCP', 'UDP', 'SCTP');
  if (services.length === 0 || oneIn(25)) {
    const endpoint = slices.flatMap(({ endpoints }) => endpoints ?? []).at(below(8));
    const destination = endpoint?.addresses?.[0] ?? '';
    if (isIP(destination) !== 0) return { destination, port: 8080, protocol: anyProtocol };
    return undefined;
  }
  const service = pick(services);
  const { port = 80, nodePort, protocol = 'TCP' } = pick(service.spec?.ports ?? [{}]);
  const asked = oneIn(12) ? anyProtocol : (protocol as Protocol);
  if (nodePort !== undefined && oneIn(3)) {
    const own = [...OWN_ADDRESSES, ...OWN_ADDRESSES, NODE, NODE].flatMap((address) => [address[4], address[6]]);
    const destination = one(
      ...own,
      ...bound,
      '127.0.0.1',
      '127.0.0.1',
      '127.1.2.3',
      '::1',
      OTHER_NODES['node-b'][4],
      OTHER_NODES['node-b'][6],
    );
    return { destination, port: oneIn(15) ? pick(NODE_PORTS) : nodePort, protocol: asked };
  }
  const addresses = addressesOf(service);
  if (addresses.length === 0) return undefined;
  return { destination: pick(addresses), port: oneIn(12) ? one(...PORTS, 81) : port, protocol: asked };
}

function sourceOf(
  client: ClientKind,
  family: FamilyNumber,
  destination: string,
  random: Choose,
  process: boolean,
): string {
  const { pick, one, oneIn } = random;
  switch (client) {
    case 'pod':
      return oneIn(2) ? POD_CLIENT[family] : pick(PODS['node-a'])[family];
    case 'stray-pod':
      return STRAY_POD[family];
    case 'remote-pod':
      return oneIn(2) ? REMOTE_POD_CLIENT[family] : pick(PODS['node-b'])[family];
    case 'other-node':
      return one(OTHER_NODES['node-b'][family], OTHER_NODES['node-c'][family]);
    case 'outside':
      return oneIn(3) ? pick(OUTSIDE.slice(0, 3))[family] : pick(OUTSIDE)[family];
    case 'node':
      if (process) return NODE[family];
      return one(
        NODE[family],
        NODE[family],
        NODE_SECOND[family],
        ...(OWN_ADDRESSES[2] ? [OWN_ADDRESSES[2][family]] : []),
        destination,
      );
  }
}

const CLIENTS: readonly ClientKind[] = [
  'pod',
  'pod',
  'pod',
  'stray-pod',
  'remote-pod',
  'other-node',
  'outside',
  'outside',
  'outside',
  'node',
  'node',
  'node',
];

export function generateProbe(around: Surroundings, random: Choose): Probe | undefined {
  const { pick, oneIn } = random;
  const dialled = generateDestination(around, random);
  if (dialled === undefined) return undefined;
  const loopback = dialled.destination.startsWith('127.') || dialled.destination === '::1';
  const client = loopback && !oneIn(4) ? 'node' : pick(CLIENTS);
  const process = client === 'pod' ? oneIn(2) : client === 'node' && (loopback || !oneIn(3));
  const source = sourceOf(client, familyNumber(dialled.destination), dialled.destination, random, process);
  // To itself, past the socket hook: no device sees it.
  return {
    client,
    source,
    process,
    ...dialled,
    ...(oneIn(12) ? { thorough: true } : {}),
    ...(oneIn(3) ? { answer: true } : {}),
  };
}
