/** Random Services: made of parts, so that a change can make some of them anew. */
import type { Service, ServicePortSpec } from '../../../src/model/kubernetes.ts';
import { NODE } from '../../support/packet/network.ts';
import { BALANCER_IPS, type Both, CLUSTER_IPS, EXTERNAL_IPS, NODE_PORTS, PORTS } from '../world.ts';
import { type Choose, without } from './choose.ts';

type Spec = NonNullable<Service['spec']>;

/** What a Service is made of. */
export interface Parts {
  readonly type: string;
  readonly clusterIps: string[];
  readonly ports: ServicePortSpec[];
  readonly policies: Pick<Spec, 'externalTrafficPolicy' | 'internalTrafficPolicy'>;
  readonly affinity: Pick<Spec, 'sessionAffinity' | 'sessionAffinityConfig'>;
  readonly ranges: string[] | undefined;
  readonly externalIPs: string[] | undefined;
  readonly ingress: { ip?: string; hostname?: string; ipMode?: string }[];
  readonly labels: Record<string, string> | undefined;
}

const RANGES = [
  '198.51.100.0/25',
  '198.51.100.200/32',
  '10.1.1.0/24',
  ' 10.1.0.0/16 ',
  '192.0.2.0/24',
  '192.0.2.1/32',
  '192.0.2.77/32',
  '203.0.113.0/24',
  '2001:db8:9::/64',
  '2001:db8:9::/125',
  'fd00:1::/32',
  ' 2001:db8:1::/64',
  '0.0.0.0/0',
  '',
  ' ',
  '10.0.0.0/33',
  'fd00::/129',
];

const flat = (addresses: readonly Both[]) => addresses.flatMap((address) => [address[4], address[6]]);

function generatePorts({ one, oneIn, between, pick }: Choose): ServicePortSpec[] {
  const ports: ServicePortSpec[] = [];
  const count = between(1, 3);
  for (let i = 0; i < count; i++) {
    const protocol = one(undefined, 'TCP', 'TCP', 'UDP', 'UDP', 'SCTP');
    const port = pick(PORTS);
    const nodePort = oneIn(8) ? undefined : pick(NODE_PORTS);
    const same = (other: ServicePortSpec) => (other.protocol ?? 'TCP') === (protocol ?? 'TCP');
    if (ports.some((other) => same(other) && (other.port === port || other.nodePort === nodePort))) continue;
    const free = ['http', 'https', 'dns', 'a'].filter((name) => ports.every((other) => other.name !== name));
    const name = count === 1 && oneIn(2) ? undefined : pick(free);
    ports.push(
      without({
        name,
        protocol,
        port,
        nodePort,
        targetPort: one<string | number>(1234, 'http'),
        appProtocol: one(undefined, 'https'),
      }) as ServicePortSpec,
    );
  }
  return ports;
}

/** How each part is made. @param n the Service's number: no two have one cluster IP */
const MAKE: { [K in keyof Parts]: (random: Choose, n: number) => Parts[K] } = {
  type: ({ one }) =>
    one('ClusterIP', 'NodePort', 'NodePort', 'LoadBalancer', 'LoadBalancer', 'LoadBalancer', 'ExternalName'),
  clusterIps({ one, oneIn }, n) {
    const own = CLUSTER_IPS[n] ?? { 4: '10.96.0.99', 6: 'fd96::99' };
    return oneIn(15) ? ['None'] : one([own[4]], [own[6]], [own[4], own[6]], [own[6], own[4]]);
  },
  ports: generatePorts,
  policies: ({ one }) => ({
    externalTrafficPolicy: one<string | undefined>(undefined, 'Cluster', 'Local', 'Local') as string,
    internalTrafficPolicy: one<string | undefined>(undefined, 'Cluster', 'Cluster', 'Local') as string,
  }),
  affinity: ({ one, oneIn }) =>
    oneIn(3)
      ? {
          sessionAffinity: 'ClientIP',
          sessionAffinityConfig: { clientIP: { timeoutSeconds: one(10_800, 100, 1000) } },
        }
      : { sessionAffinity: 'None' },
  ranges: ({ oneIn, some }) => (oneIn(2) ? some(RANGES, 4) : undefined),
  externalIPs: ({ oneIn, some, pick }) =>
    oneIn(3)
      ? [...some(flat(EXTERNAL_IPS), 3), ...(oneIn(10) ? [pick([NODE[4], NODE[6], CLUSTER_IPS[0]?.[4] ?? ''])] : [])]
      : undefined,
  ingress: ({ some, one, oneIn }) => [
    ...some(flat(BALANCER_IPS), 3).map((ip) => ({
      ip,
      ipMode: one<string | undefined>(undefined, 'VIP', 'VIP', 'Proxy') as string,
    })),
    ...(oneIn(4) ? [{ hostname: 'balancer.example' }] : []),
  ],
  labels: ({ oneIn }) => (oneIn(12) ? { 'service.kubernetes.io/service-proxy-name': 'another' } : undefined),
};

export function generateParts(random: Choose, n: number): Parts {
  const made = Object.entries(MAKE).map(([name, make]) => [name, make(random, n)] as const);
  return Object.fromEntries(made) as unknown as Parts;
}

/** Makes one or two parts anew. */
export function changeParts(parts: Parts, random: Choose, n: number): Parts {
  const names = Object.keys(MAKE) as (keyof Parts)[];
  const changed = [random.pick(names), random.pick(names)];
  return { ...parts, ...Object.fromEntries(changed.map((name) => [name, MAKE[name](random, n)])) };
}

/** @param created unique among the Services of a case */
export function assemble(namespace: string, name: string, created: string, parts: Parts, n: number): Service {
  const { type, clusterIps, ports, labels } = parts;
  const outside = type === 'NodePort' || type === 'LoadBalancer';
  const metadata = without({ namespace, name, creationTimestamp: created, labels }) as NonNullable<Service['metadata']>;
  if (type === 'ExternalName')
    return {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: { type, ports: ports.map(({ nodePort: _, ...port }) => port) },
    };
  const headless = clusterIps[0] === 'None';
  const local = outside && parts.policies.externalTrafficPolicy === 'Local';
  return without({
    apiVersion: 'v1',
    kind: 'Service',
    metadata,
    spec: {
      type: headless ? 'ClusterIP' : type,
      clusterIP: clusterIps[0] as string,
      clusterIPs: clusterIps,
      ipFamilies: headless ? ['IPv4'] : clusterIps.map((ip) => (ip.includes(':') ? 'IPv6' : 'IPv4')),
      ports: outside && !headless ? ports : ports.map(({ nodePort: _, ...port }) => port),
      externalIPs: parts.externalIPs as string[],
      internalTrafficPolicy: parts.policies.internalTrafficPolicy as string,
      externalTrafficPolicy: (outside || parts.externalIPs
        ? parts.policies.externalTrafficPolicy
        : undefined) as string,
      ...parts.affinity,
      loadBalancerSourceRanges: (type === 'LoadBalancer' ? parts.ranges : undefined) as string[],
      healthCheckNodePort: (type === 'LoadBalancer' && local && !headless ? 32_000 + n : undefined) as number,
    },
    ...(type === 'LoadBalancer' && !headless ? { status: { loadBalancer: { ingress: parts.ingress } } } : {}),
  });
}
