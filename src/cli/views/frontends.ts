/** Rows of `sluice service list`: frontends, with the names and source ranges of their ServicePort. */
import {
  FRONTEND_CHOICE,
  FRONTEND_CLUSTER_IP,
  FRONTEND_EXTERNAL_DROP,
  FRONTEND_EXTERNAL_IP,
  FRONTEND_EXTERNAL_LOCAL,
  FRONTEND_HOST_ALLOWED,
  FRONTEND_INTERNAL_DROP,
  FRONTEND_INTERNAL_LOCAL,
  FRONTEND_LOAD_BALANCER,
  FRONTEND_NODE_PORT,
  FRONTEND_SNAT_HOST,
  FRONTEND_SNAT_OUTSIDE,
  FRONTEND_SNAT_POD,
  FRONTEND_SOURCE_RANGES,
  type Frontend,
  frontend as frontendCodec,
  frontendKey,
  mark,
  sourceRangeKey,
} from '../../../maps-schema/gen/codecs.ts';
import { familyOf } from '../../model/address.ts';
import { readChoice } from '../../tables/choice.ts';
import { compareBy, protocolName } from '../format.ts';
import { type Names, nameOf, type ServicePortName } from './names.ts';
import { decodeRows, type Row } from './rows.ts';

export interface Extent {
  /** First slot. */
  readonly base: number;
  /** Slots that new flows may be given. */
  readonly count: number;
}

export interface FrontendRow extends ServicePortName {
  /** ClusterIP, NodePort, ExternalIP, LoadBalancer: more than one when a Service names an address twice. */
  readonly types: readonly string[];
  /** 0.0.0.0 or :: for a NodePort. */
  readonly address: string;
  readonly frontendPort: number;
  readonly protocol: string;
  /** For clients inside the cluster. */
  readonly internal: Extent;
  /** For clients outside. */
  readonly external: Extent;
  /** 0: none. */
  readonly affinitySeconds: number;
  /** How backends are chosen for clients inside the cluster; undefined: at random, or not looked at. */
  readonly algorithm?: string;
  /** Of those backends, where they differ and count: in the order of their slots. */
  readonly weights?: readonly number[];
  /** What else it does, e.g. `internal-local`. */
  readonly traits: readonly string[];
  /** Whose source address is translated: pod, host, outside. */
  readonly sourceNat: readonly string[];
  /** undefined: every source may use it. */
  readonly sourceRanges?: readonly string[];
  readonly servicePortId: number;
}

/** What `-l` can choose by. */
export const FRONTEND_FIELDS = [
  'namespace',
  'name',
  'port',
  'types',
  'address',
  'frontendPort',
  'protocol',
  'affinitySeconds',
  'algorithm',
  'traits',
  'sourceNat',
  'servicePortId',
] as const satisfies readonly (keyof FrontendRow)[];

const TYPES: readonly (readonly [number, string])[] = [
  [FRONTEND_CLUSTER_IP, 'ClusterIP'],
  [FRONTEND_NODE_PORT, 'NodePort'],
  [FRONTEND_EXTERNAL_IP, 'ExternalIP'],
  [FRONTEND_LOAD_BALANCER, 'LoadBalancer'],
];
const TRAITS: readonly (readonly [number, string])[] = [
  [FRONTEND_INTERNAL_LOCAL, 'internal-local'],
  [FRONTEND_EXTERNAL_LOCAL, 'external-local'],
  [FRONTEND_INTERNAL_DROP, 'internal-drop'],
  [FRONTEND_EXTERNAL_DROP, 'external-drop'],
  [FRONTEND_HOST_ALLOWED, 'host-allowed'],
];
const SOURCES: readonly (readonly [number, string])[] = [
  [FRONTEND_SNAT_POD, 'pod'],
  [FRONTEND_SNAT_HOST, 'host'],
  [FRONTEND_SNAT_OUTSIDE, 'outside'],
];

const named = (table: readonly (readonly [number, string])[], flags: number) =>
  table.filter(([mask]) => (flags & mask) !== 0).map(([, name]) => name);

/** What flags of a frontend say: its types, what else it does, whose source is translated. */
export function flagWords(flags: number): Pick<FrontendRow, 'types' | 'traits' | 'sourceNat'> {
  return { types: named(TYPES, flags), traits: named(TRAITS, flags), sourceNat: named(SOURCES, flags) };
}

/** @param rows of the map source_ranges. @returns CIDRs by service_port_id, sorted. */
export function readSourceRanges(rows: Iterable<Row>): Map<number, string[]> {
  const ranges = new Map<number, string[]>();
  for (const [{ prefixlen, servicePortId, address }] of decodeRows(rows, sourceRangeKey, mark)) {
    const bits = prefixlen - 32 - (familyOf(address) === 'IPv4' ? 96 : 0);
    const known = ranges.get(servicePortId) ?? [];
    known.push(`${address}/${bits}`);
    ranges.set(servicePortId, known);
  }
  for (const known of ranges.values()) known.sort();
  return ranges;
}

/** Of the larger list: a Service has one algorithm, and a list may be empty. */
function choiceOf(value: Frontend, slots: Buffer | undefined): Pick<FrontendRow, 'algorithm' | 'weights'> {
  if (slots === undefined || (value.flags & FRONTEND_CHOICE) === 0) return {};
  const { internalBase, internalCount, externalBase, externalCount } = value;
  const found =
    internalCount > 0 ? readChoice(slots, internalBase, internalCount) : readChoice(slots, externalBase, externalCount);
  return found === undefined
    ? {}
    : { algorithm: found.algorithm, ...(found.weights !== undefined && { weights: found.weights }) };
}

/** @param rows of the map frontends. @param slots the map backend_slots: algorithms are looked at too */
export function* readFrontends(
  rows: Iterable<Row>,
  names: Names,
  sourceRanges: ReadonlyMap<number, readonly string[]> = new Map(),
  slots?: Buffer,
): Generator<FrontendRow> {
  for (const [key, value] of decodeRows(rows, frontendKey, frontendCodec)) {
    const { flags, servicePortId } = value;
    const words = flagWords(flags);
    yield {
      ...nameOf(names, servicePortId),
      types: words.types,
      address: key.address,
      frontendPort: key.port,
      protocol: protocolName(key.proto),
      internal: { base: value.internalBase, count: value.internalCount },
      external: { base: value.externalBase, count: value.externalCount },
      affinitySeconds: value.affinitySeconds,
      ...choiceOf(value, slots),
      traits: words.traits,
      sourceNat: words.sourceNat,
      ...((flags & FRONTEND_SOURCE_RANGES) !== 0 && { sourceRanges: sourceRanges.get(servicePortId) ?? [] }),
      servicePortId,
    };
  }
}

const typeOrder = (row: FrontendRow) => TYPES.findIndex(([, name]) => row.types.includes(name));

/** By Service, port, type and address. */
export const compareFrontends = compareBy<FrontendRow>(
  (row) => row.namespace,
  (row) => row.name,
  (row) => row.port,
  (row) => row.protocol,
  (row) => familyOf(row.address),
  typeOrder,
  (row) => row.address,
  (row) => row.frontendPort,
  (row) => row.servicePortId,
);
