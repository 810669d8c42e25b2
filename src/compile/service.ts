/** A Service as the compiler keeps it: validated, stripped, independent of the node and its settings. */
import type { Family } from '../model/address.ts';
import type { Algorithm } from '../model/algorithm.ts';
import type { Cidr, Problem } from '../model/compiled.ts';
import type { ForwardingMode } from '../model/forwarding.ts';
import { readAlgorithm } from './algorithm.ts';
import { readForwardingMode } from './forwarding.ts';
import { createProblems, type ProblemSink } from './problems.ts';
import { type FamilyAddresses, readAddresses } from './service-addresses.ts';
import { readPorts, type ServicePort } from './service-ports.ts';
import { type Fields, fieldsOf, isPort, show, splitKey, timestampOf } from './validate.ts';

const PROXY_NAME_LABEL = 'service.kubernetes.io/service-proxy-name';
const HEADLESS_LABEL = 'service.kubernetes.io/headless';
const DEFAULT_AFFINITY_SECONDS = 10_800;
const MAX_AFFINITY_SECONDS = 86_400;

/** Stands for a creation time that is missing or unreadable: the youngest of all, the last moment of a Date. */
export const CREATED_UNKNOWN = 8_640_000_000_000_000;

export interface ParsedService {
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  /** Milliseconds since the epoch, CREATED_UNKNOWN when it cannot be read. */
  readonly created: number;
  /** Value of service.kubernetes.io/service-proxy-name; undefined without the label. */
  readonly proxyName: string | undefined;
  /** internalTrafficPolicy: Local */
  readonly internalLocal: boolean;
  /** externalTrafficPolicy: Local */
  readonly externalLocal: boolean;
  /** Seconds; 0 for no affinity. */
  readonly affinitySeconds: number;
  /** Port of the health check server; undefined when it needs none. */
  readonly healthPort: number | undefined;
  readonly sourceRanges: Readonly<Partial<Record<Family, readonly Cidr[]>>>;
  /** Chosen by annotation; undefined: the node's. */
  readonly forwardingMode: ForwardingMode | undefined;
  /** The same of the algorithm. */
  readonly algorithm: Algorithm | undefined;
  /** In the order of the object, IPv4 before IPv6. */
  readonly ports: readonly ServicePort[];
  readonly problems: readonly Problem[];
}

function readPolicy(spec: Fields, field: string, problems: ProblemSink): boolean {
  const value = spec[field];
  if (value !== undefined && value !== null && value !== '' && value !== 'Cluster' && value !== 'Local') {
    problems.add(`spec.${field}`, `is ${show(value)}: Cluster is used`);
  }
  return value === 'Local';
}

function readAffinity(spec: Fields, problems: ProblemSink): number {
  const kind = spec.sessionAffinity;
  if (kind === undefined || kind === null || kind === '' || kind === 'None') return 0;
  if (kind !== 'ClientIP') {
    problems.add('spec.sessionAffinity', `is ${show(kind)}: no affinity is used`);
    return 0;
  }
  const seconds = fieldsOf(fieldsOf(spec.sessionAffinityConfig).clientIP).timeoutSeconds;
  if (seconds === undefined || seconds === null) return DEFAULT_AFFINITY_SECONDS;
  if (typeof seconds === 'number' && Number.isInteger(seconds) && seconds >= 1 && seconds <= MAX_AFFINITY_SECONDS)
    return seconds;
  const field = 'spec.sessionAffinityConfig.clientIP.timeoutSeconds';
  problems.add(field, `is ${show(seconds)}, not within 1…${MAX_AFFINITY_SECONDS}: ${DEFAULT_AFFINITY_SECONDS} is used`);
  return DEFAULT_AFFINITY_SECONDS;
}

/** Only load balancers with externalTrafficPolicy: Local have a health check port. */
function readHealthPort(spec: Fields, externalLocal: boolean, problems: ProblemSink): number | undefined {
  if (spec.type !== 'LoadBalancer' || !externalLocal) return undefined;
  const port = spec.healthCheckNodePort;
  if (isPort(port)) return port;
  // The API server always allocates one; a manifest without it asks for none.
  if (port !== undefined && port !== null && port !== 0) {
    problems.add('spec.healthCheckNodePort', `${show(port)} is no port: its health is not served`);
  }
  return undefined;
}

function readProxyName(labels: Fields): string | undefined {
  if (!Object.hasOwn(labels, PROXY_NAME_LABEL)) return undefined;
  const value = labels[PROXY_NAME_LABEL];
  return typeof value === 'string' ? value : '';
}

/** neither headless nor an alias. A Service that says nothing of its address is a fault to report. */
function hasVirtualAddress(spec: Fields, labels: Fields): boolean {
  if (spec.type === 'ExternalName' || Object.hasOwn(labels, HEADLESS_LABEL)) return false;
  const clusterIPs = spec.clusterIPs;
  const address = spec.clusterIP ?? (Array.isArray(clusterIPs) ? clusterIPs[0] : clusterIPs);
  return address !== '' && address !== 'None';
}

function rangesOf(addresses: readonly FamilyAddresses[]): ParsedService['sourceRanges'] {
  const ranges: Partial<Record<Family, readonly Cidr[]>> = {};
  for (const { family, sourceRanges } of addresses) if (sourceRanges !== undefined) ranges[family] = sourceRanges;
  return ranges;
}

/**
 * @param key `namespace/name`, both usable
 * @param routerIpMode serve load-balancer addresses of ipMode Router too
 * @returns undefined for a Service that is not to be served on any node: headless, ExternalName
 */
export function parseService(key: string, object: unknown, routerIpMode: boolean): ParsedService | undefined {
  const [namespace, name] = splitKey(key);
  const metadata = fieldsOf(fieldsOf(object).metadata);
  const spec = fieldsOf(fieldsOf(object).spec);
  const labels = fieldsOf(metadata.labels);
  if (!hasVirtualAddress(spec, labels)) return undefined;

  const problems = createProblems('Service', namespace, name);
  const created = timestampOf(metadata.creationTimestamp);
  if (created === undefined && metadata.creationTimestamp !== undefined && metadata.creationTimestamp !== null) {
    problems.add('metadata.creationTimestamp', `${show(metadata.creationTimestamp)} is no RFC 3339 time`);
  }
  const externalLocal = readPolicy(spec, 'externalTrafficPolicy', problems);
  const addresses: readonly FamilyAddresses[] = readAddresses(spec, fieldsOf(object).status, routerIpMode, problems);
  return {
    key,
    namespace,
    name,
    created: created ?? CREATED_UNKNOWN,
    proxyName: readProxyName(labels),
    internalLocal: readPolicy(spec, 'internalTrafficPolicy', problems),
    externalLocal,
    affinitySeconds: readAffinity(spec, problems),
    healthPort: readHealthPort(spec, externalLocal, problems),
    sourceRanges: rangesOf(addresses),
    forwardingMode: readForwardingMode(fieldsOf(metadata.annotations), problems),
    algorithm: readAlgorithm(fieldsOf(metadata.annotations), problems),
    ports: readPorts(spec, addresses, problems),
    problems: problems.list(),
  };
}
