/** What the compiler makes of a Service: plain rows, without ids, extents or bytes. */
import type { Address, Family } from './address.ts';
import type { Algorithm } from './algorithm.ts';
import type { DirectBackend } from './forwarding.ts';

export type Protocol = 'TCP' | 'UDP' | 'SCTP';

/** IANA protocol numbers, as in the maps. */
export const PROTOCOL_NUMBERS: Readonly<Record<Protocol, number>> = { TCP: 6, UDP: 17, SCTP: 132 };

/** An endpoint that new flows may be given, or that existing flows may keep. */
export interface Backend {
  readonly address: Address;
  readonly port: number;
  /** On this node. */
  readonly local: boolean;
  /** Serves while it terminates. */
  readonly terminating: boolean;
  /** Of new connections, beside those of the others; absent: 1. One of 0 is in no list. */
  readonly weight?: number;
}

/** The two lists of R-18. */
export type ListName = 'cluster' | 'local';

/** An address, port and protocol that clients dial. */
export interface CompiledFrontend {
  /** For a NodePort `0.0.0.0` or `::`. */
  readonly address: Address;
  readonly port: number;
  /** Mask of FRONTEND_* bits of maps-schema. */
  readonly flags: number;
  /** The list for clients inside the cluster. */
  readonly internal: ListName;
  /** The list for clients outside the cluster. */
  readonly external: ListName;
}

/** A network: canonical network address and prefix length in bits of its own family. */
export interface Cidr {
  readonly address: Address;
  readonly bits: number;
}

/** One port of a Service in one family. */
export interface CompiledServicePort {
  readonly namespace: string;
  readonly service: string;
  /** "" for an unnamed port. */
  readonly portName: string;
  readonly protocol: Protocol;
  readonly family: Family;
  readonly frontends: readonly CompiledFrontend[];
  /** Selectable endpoints, sorted by address and port, no duplicates. */
  readonly lists: Readonly<Record<ListName, readonly Backend[]>>;
  /** Every serving endpoint, whether selectable or not: flows to them go on. Superset of both lists. */
  readonly serving: readonly Backend[];
  /** How a backend is chosen for a new connection; absent: at random. Frontends have FRONTEND_CHOICE with it. */
  readonly algorithm?: Algorithm;
  /** ClientIP affinity in seconds; 0: none. */
  readonly affinitySeconds: number;
  /** Empty: open, unless frontends carry FRONTEND_SOURCE_RANGES: then closed, every range was malformed. */
  readonly sourceRanges: readonly Cidr[];
  /** One for each address of the lists and of what serves on; absent without FRONTEND_DSR. */
  readonly directBackends?: readonly DirectBackend[];
}

/** Something wrong with one object: reported once, the rest is served. */
export interface Problem {
  readonly kind: 'Service' | 'EndpointSlice' | 'Node';
  readonly namespace: string;
  readonly name: string;
  /** e.g. `spec.ports[2].nodePort` */
  readonly field: string;
  readonly message: string;
}

/** What the health check server of a Service answers. */
export interface ServiceHealth {
  readonly port: number;
  /** Distinct addresses of ready endpoints on this node; of a dual-stack Service the greater of the two families. */
  readonly localEndpoints: number;
  /** The same for each family: kube-proxy answers on IPv4 addresses for IPv4 alone, on IPv6 for IPv6. */
  readonly localEndpointsByFamily?: Readonly<Partial<Record<Family, number>>>;
}

export interface CompiledService {
  readonly namespace: string;
  readonly name: string;
  /**
   * metadata.creationTimestamp in milliseconds since the epoch: the older Service keeps a contested
   * address. The greatest Date, 8.64e15, when it is missing or unreadable.
   */
  readonly created: number;
  readonly ports: readonly CompiledServicePort[];
  readonly problems: readonly Problem[];
  /** Set for externalTrafficPolicy: Local load balancers with spec.healthCheckNodePort. */
  readonly health: ServiceHealth | undefined;
  /** ServicePorts of each family without local endpoints whose policy wants some. */
  readonly noLocalEndpoints: Readonly<Record<Family, PolicyCounts>>;
  /** Latest `endpoints.kubernetes.io/last-change-trigger-time` of its slices, ms since the epoch. */
  readonly lastChangeTrigger: number | undefined;
}

/** A number for each of the two traffic policies. */
export interface PolicyCounts {
  readonly internal: number;
  readonly external: number;
}

/** `namespace/service:port/PROTOCOL/family`: names a ServicePort in one family. */
export function servicePortName(
  port: Pick<CompiledServicePort, 'namespace' | 'service' | 'portName' | 'protocol' | 'family'>,
): string {
  return `${port.namespace}/${port.service}:${port.portName}/${port.protocol}/${port.family}`;
}
