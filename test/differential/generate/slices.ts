/** Random EndpointSlices of a Service: several a family, with doubles, hints, all conditions, and what is to be ignored. */
import type { Endpoint, EndpointSlice, ServicePortSpec } from '../../../src/model/kubernetes.ts';
import { type FamilyNumber, HOST_NETWORK, NODES, type NodeName, PODS, TARGET_PORTS, THIS_NODE } from '../world.ts';
import { type Choose, without } from './choose.ts';

/** What all slices of a Service have in common, so that doubles agree. */
export interface Endpoints {
  readonly hints: 'none' | 'zones' | 'nodes' | 'both' | 'partly';
  /** Which of them terminate, in place of any. */
  readonly leaving: 'any' | 'here' | 'elsewhere' | 'all';
  /** By address: what its endpoint says. */
  readonly known: Map<string, Endpoint>;
}

export function generateEndpoints({ one }: Choose): Endpoints {
  return {
    hints: one('none', 'none', 'zones', 'nodes', 'both', 'partly'),
    leaving: one('any', 'any', 'any', 'any', 'here', 'elsewhere', 'all'),
    known: new Map(),
  };
}

const CONDITIONS: readonly Endpoint['conditions'][] = [
  undefined,
  {},
  { ready: true },
  { ready: true, serving: true, terminating: false },
  { ready: null, serving: null, terminating: null },
  { ready: false },
  { ready: false, serving: false, terminating: false },
  { ready: false, serving: true, terminating: true },
  { ready: false, terminating: true },
  { ready: false, serving: false, terminating: true },
  { ready: true, serving: true, terminating: true },
  { ready: false, serving: true, terminating: false },
];
const LEAVING = CONDITIONS.slice(5, 10);
const TERMINATING = { ready: false, serving: true, terminating: true } as const;

function hintsOf(hints: Endpoints['hints'], { one, some, oneIn }: Choose): Endpoint['hints'] {
  const zones = () => ({
    forZones: some(['zone-a', 'zone-b', 'zone-c'], 2)
      .concat(one('zone-a', 'zone-b'))
      .map((name) => ({ name })),
  });
  const nodes = () => ({ forNodes: [{ name: one(...NODES) }] });
  switch (hints) {
    case 'none':
      return undefined;
    case 'zones':
      return zones();
    case 'nodes':
      return nodes();
    case 'both':
      return { ...zones(), ...nodes() };
    case 'partly':
      return oneIn(3) ? undefined : one<Endpoint['hints']>(zones(), nodes(), { forZones: [] });
  }
}

function generateEndpoint(all: Endpoints, family: FamilyNumber, random: Choose): Endpoint {
  const { pick, one, oneIn } = random;
  const node: NodeName = one('node-a', 'node-a', 'node-b', 'node-c');
  const address = (oneIn(10) ? HOST_NETWORK[node] : pick(PODS[node]))[family];
  const here = node === THIS_NODE;
  const leaves = all.leaving === 'all' || (all.leaving === 'here' && here) || (all.leaving === 'elsewhere' && !here);
  const conditions = pick(leaves ? LEAVING : oneIn(2) ? CONDITIONS.slice(0, 4) : CONDITIONS);
  const made = without({
    addresses: oneIn(10) ? [address, PODS['node-b'][3]?.[family] ?? ''] : [address],
    conditions,
    nodeName: (oneIn(12) ? one(undefined, ...NODES) : node) as string,
    hints: hintsOf(all.hints, random),
  }) as Endpoint;
  const known = all.known.get(address);
  if (known === undefined || oneIn(8)) all.known.set(address, made);
  // The address was another pod's before.
  if (known !== undefined && oneIn(3)) return { ...made, conditions: { ...TERMINATING } };
  return known ?? made;
}

function generateSlicePorts(ports: readonly ServicePortSpec[], { one, oneIn, pick }: Choose): EndpointSlice['ports'] {
  const slicePorts = ports.flatMap(({ name = '', protocol }): NonNullable<EndpointSlice['ports']> => {
    if (oneIn(12)) return [];
    const port = pick(TARGET_PORTS);
    if (oneIn(25)) return [{ name, protocol: protocol as string, port: one(null, 0) }];
    if (oneIn(25)) return [{ name: null, protocol: protocol as string, port }];
    if (oneIn(25)) return [{ name: `${name}x`, protocol: protocol as string, port }];
    if (oneIn(25)) return [{ name, protocol: one('UDP', 'TCP', 'SCTP'), port }];
    return [{ name, protocol: protocol as string, port }];
  });
  return without(slicePorts);
}

export function generateSlice(
  { namespace, service, name }: { namespace: string; service: string; name: string },
  ports: readonly ServicePortSpec[],
  all: Endpoints,
  random: Choose,
): EndpointSlice {
  const { one, oneIn, between } = random;
  const family = one<FamilyNumber>(4, 4, 6);
  const labels: Record<string, string> = oneIn(40) ? {} : { 'kubernetes.io/service-name': service };
  if (oneIn(20)) labels['service.kubernetes.io/headless'] = '';
  const metadata = { namespace, name, labels };
  const head = { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata };
  if (oneIn(40)) return { ...head, addressType: 'FQDN', ports: [], endpoints: [{ addresses: ['backend.example'] }] };
  return {
    ...head,
    addressType: family === 4 ? 'IPv4' : 'IPv6',
    ports: generateSlicePorts(ports, random) ?? [],
    endpoints: Array.from({ length: between(0, 5) }, () => generateEndpoint(all, family, random)),
  };
}
