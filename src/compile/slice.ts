/** An EndpointSlice as the compiler keeps it: validated, stripped, independent of the node. */
import { type Address, type Family, familyOf } from '../model/address.ts';
import type { Problem, Protocol } from '../model/compiled.ts';
import { exact } from '../model/exact.ts';
import { readWeights, type Weights } from './algorithm.ts';
import { createProblems, type ProblemSink } from './problems.ts';
import {
  addressOf,
  type Fields,
  fault,
  fieldsOf,
  isLabel,
  isPort,
  itemsOf,
  protocolOf,
  show,
  splitKey,
  timestampOf,
  usableAddress,
} from './validate.ts';

const SERVICE_NAME_LABEL = 'kubernetes.io/service-name';
const HEADLESS_LABEL = 'service.kubernetes.io/headless';
const TRIGGER_ANNOTATION = 'endpoints.kubernetes.io/last-change-trigger-time';
/** The API server allows 1,000. */
const MAX_ENDPOINTS = 10_000;
/** As many as the API server allows. */
const MAX_PORTS = 20_000;
const MAX_HINTS = 64;

export interface SlicePort {
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
}

export interface Endpoint {
  readonly address: Address;
  readonly nodeName: string | undefined;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  /** Names in hints.forNodes; undefined: no hint. */
  readonly nodes: readonly string[] | undefined;
  /** Names in hints.forZones; undefined: no hint. */
  readonly zones: readonly string[] | undefined;
  /** Of new connections; 0: none. */
  readonly weight: number;
}

export interface ParsedSlice {
  readonly key: string;
  /** `namespace/name` of the Service. */
  readonly serviceKey: string;
  readonly family: Family;
  readonly ports: readonly SlicePort[];
  readonly endpoints: readonly Endpoint[];
  /** Milliseconds since the epoch. */
  readonly trigger: number | undefined;
  readonly problems: readonly Problem[];
}

/** a port without name or number is none; targetPort and the like are not looked at. */
function readPort(value: unknown, field: string, problems: ProblemSink): SlicePort | undefined {
  const { name, port, protocol: text } = fieldsOf(value);
  const protocol = protocolOf(text);
  if (typeof name !== 'string' || name.length > 63) problems.add(`${field}.name`, fault(name, 'names no port'));
  else if (protocol === undefined) problems.add(`${field}.protocol`, `${show(text)} is not TCP, UDP or SCTP`);
  else if (!isPort(port)) problems.add(`${field}.port`, fault(port, 'is no port'));
  else return { name, protocol, port };
  return undefined;
}

/** @returns undefined when a value is neither missing nor boolean. */
function condition(conditions: Fields, name: string, missing: boolean): boolean | undefined {
  const value = conditions[name] ?? missing;
  return typeof value === 'boolean' ? value : undefined;
}

function hintNames(value: unknown): readonly string[] | undefined {
  if (!Array.isArray(value) || value.length === 0) return undefined;
  const names: string[] = [];
  for (let i = 0; i < value.length && i < MAX_HINTS; i++) {
    const name = fieldsOf(value[i]).name;
    if (typeof name === 'string' && name !== '') names.push(name);
  }
  return names.length === 0 ? undefined : names;
}

function readEndpoint(
  value: unknown,
  family: Family,
  index: number,
  weights: Weights,
  problems: ProblemSink,
): Endpoint | undefined {
  const item = fieldsOf(value);
  const { addresses, nodeName } = item;
  const first: unknown = Array.isArray(addresses) ? addresses[0] : undefined;
  const address = usableAddress(first, true);
  if (address === undefined) {
    addressOf(first, `endpoints[${index}].addresses[0]`, true, problems);
    return undefined;
  }
  if (familyOf(address) !== family) {
    problems.add(`endpoints[${index}].addresses[0]`, `${address} is no ${family} address`);
    return undefined;
  }
  const conditions = fieldsOf(item.conditions);
  const ready = condition(conditions, 'ready', true);
  const serving = condition(conditions, 'serving', true);
  const terminating = condition(conditions, 'terminating', false);
  if (ready === undefined || serving === undefined || terminating === undefined) {
    problems.add(`endpoints[${index}].conditions`, 'has a condition that is neither true nor false');
    return undefined;
  }
  const hints = item.hints === undefined ? undefined : fieldsOf(item.hints);
  return {
    address,
    nodeName: typeof nodeName === 'string' && nodeName !== '' ? nodeName : undefined,
    ready,
    serving,
    terminating,
    nodes: hints === undefined ? undefined : hintNames(hints.forNodes),
    zones: hints === undefined ? undefined : hintNames(hints.forZones),
    weight: weights.byAddress.get(address) ?? weights.all,
  };
}

function readFamily(value: unknown, problems: ProblemSink): Family | undefined {
  if (value === 'IPv4' || value === 'IPv6') return value;
  if (value !== 'FQDN') problems.add('addressType', `${show(value)} is not IPv4, IPv6 or FQDN`);
  return undefined;
}

/** @param object as it came, of any shape @returns `namespace/name` of the Service that it names; it may be no slice of ours */
export function serviceOfSlice(key: string, object: unknown): string | undefined {
  const name = fieldsOf(fieldsOf(fieldsOf(object).metadata).labels)[SERVICE_NAME_LABEL];
  return isLabel(name) ? `${splitKey(key)[0]}/${name}` : undefined;
}

/**
 * @param key `namespace/name`, both usable
 * @returns undefined for a slice that belongs to no Service of ours: unlabelled or headless
 */
export function parseSlice(key: string, object: unknown): ParsedSlice | undefined {
  const slice = fieldsOf(object);
  const metadata = fieldsOf(slice.metadata);
  const labels = fieldsOf(metadata.labels);
  const [namespace, name] = splitKey(key);
  const serviceName = labels[SERVICE_NAME_LABEL];
  if (!isLabel(serviceName) || Object.hasOwn(labels, HEADLESS_LABEL)) return undefined;

  const problems = createProblems('EndpointSlice', namespace, name);
  const family = readFamily(slice.addressType, problems);
  const ports: SlicePort[] = [];
  const endpoints: Endpoint[] = [];
  if (family !== undefined) {
    itemsOf(slice.ports, 'ports', MAX_PORTS, problems).forEach((value, i) => {
      const port = readPort(value, `ports[${i}]`, problems);
      if (port !== undefined) ports.push(port);
    });
    const weights = readWeights(fieldsOf(metadata.annotations), problems);
    const items = itemsOf(slice.endpoints, 'endpoints', MAX_ENDPOINTS, problems);
    for (let i = 0; i < items.length; i++) {
      const endpoint = readEndpoint(items[i], family, i, weights, problems);
      if (endpoint !== undefined) endpoints.push(endpoint);
    }
  }
  return {
    key,
    serviceKey: `${namespace}/${serviceName}`,
    family: family ?? 'IPv4',
    ports: exact(ports),
    endpoints: exact(endpoints),
    trigger: timestampOf(fieldsOf(metadata.annotations)[TRIGGER_ANNOTATION]),
    problems: problems.list(),
  };
}
