/** The addresses of a Service, by family. */
import { type Address, type Family, familyOf } from '../model/address.ts';
import { parseCidr } from '../model/cidr.ts';
import type { Cidr } from '../model/compiled.ts';
import type { ProblemSink } from './problems.ts';
import { addressOf, type Fields, fieldsOf, itemsOf, show } from './validate.ts';

const MAX_ADDRESSES = 1024;
const MAX_SOURCE_RANGES = 4096;

/** An address and where the object says it, for messages. */
export interface NamedAddress {
  readonly address: Address;
  readonly field: string;
  /** ipMode Router. */
  readonly router?: boolean;
}

export interface FamilyAddresses {
  readonly family: Family;
  readonly clusterIP: NamedAddress;
  readonly externalIPs: readonly NamedAddress[];
  /** Ingress addresses that this node serves. */
  readonly loadBalancerIPs: readonly NamedAddress[];
  /**
   * undefined: open to all. A family whose every range was malformed has an empty list and
   * is closed: a typing error must not open what was meant to be restricted.
   */
  readonly sourceRanges: readonly Cidr[] | undefined;
}

function readClusterIPs(spec: Fields, problems: ProblemSink): NamedAddress[] {
  const list = itemsOf(spec.clusterIPs, 'spec.clusterIPs', 2, problems);
  const single = list.length === 0;
  const values = single ? [spec.clusterIP] : list;
  const found: NamedAddress[] = [];
  values.forEach((value, i) => {
    const field = single ? 'spec.clusterIP' : `spec.clusterIPs[${i}]`;
    const address = addressOf(value, field, false, problems);
    if (address === undefined) return;
    if (found.some((other) => familyOf(other.address) === familyOf(address))) {
      problems.add(field, `${address} is a second address of its family: ignored`);
    } else found.push({ address, field });
  });
  return found;
}

function readExternalIPs(spec: Fields, problems: ProblemSink): NamedAddress[] {
  return itemsOf(spec.externalIPs, 'spec.externalIPs', MAX_ADDRESSES, problems).flatMap((value, i) => {
    const field = `spec.externalIPs[${i}]`;
    const address = addressOf(value, field, true, problems);
    return address === undefined ? [] : [{ address, field }];
  });
}

/**
 * entries with an address and ipMode VIP; host names are for DNS, other modes for the network.
 * @param routerIpMode ipMode Router is served as well
 */
function readIngress(status: unknown, routerIpMode: boolean, problems: ProblemSink): NamedAddress[] {
  const path = 'status.loadBalancer.ingress';
  const ingress = fieldsOf(fieldsOf(status).loadBalancer).ingress;
  return itemsOf(ingress, path, MAX_ADDRESSES, problems).flatMap((value, i) => {
    const { ip, ipMode } = fieldsOf(value);
    if (ip === undefined || ip === null || ip === '') return [];
    const router = ipMode === 'Router' && routerIpMode;
    if (ipMode !== undefined && ipMode !== null && ipMode !== 'VIP' && !router) return [];
    const field = `${path}[${i}].ip`;
    const address = addressOf(ip, field, false, problems);
    return address === undefined ? [] : [{ address, field, router }];
  });
}

/** The family that a malformed range looks like; both when it looks like neither. */
function familiesMeant(text: string): readonly Family[] {
  if (text.includes(':')) return ['IPv6'];
  return text.includes('.') ? ['IPv4'] : ['IPv4', 'IPv6'];
}

function readSourceRanges(spec: Fields, problems: ProblemSink): Partial<Record<Family, Cidr[]>> {
  const path = 'spec.loadBalancerSourceRanges';
  const ranges: Partial<Record<Family, Cidr[]>> = {};
  const seen = new Set<string>();
  itemsOf(spec.loadBalancerSourceRanges, path, MAX_SOURCE_RANGES, problems).forEach((value, i) => {
    const text = typeof value === 'string' && value.length <= 256 ? value.trim() : undefined;
    const cidr = text === undefined ? undefined : parseCidr(text);
    if (cidr === undefined) {
      problems.add(`${path}[${i}]`, `${show(value)} is no CIDR`);
      for (const family of familiesMeant(text ?? '')) ranges[family] ??= [];
      return;
    }
    const name = `${cidr.address}/${cidr.bits}`;
    if (seen.has(name)) return;
    seen.add(name);
    const family = familyOf(cidr.address);
    const list = ranges[family] ?? [];
    list.push(cidr);
    ranges[family] = list;
  });
  return ranges;
}

/** @returns one entry for each family in which the Service has a cluster IP; the others are not served. */
export function readAddresses(
  spec: Fields,
  status: unknown,
  routerIpMode: boolean,
  problems: ProblemSink,
): FamilyAddresses[] {
  const clusterIPs = readClusterIPs(spec, problems);
  const externalIPs = readExternalIPs(spec, problems);
  const loadBalancerIPs = readIngress(status, routerIpMode, problems);
  const ranges = readSourceRanges(spec, problems);
  const families = clusterIPs.map((clusterIP) => {
    const family = familyOf(clusterIP.address);
    const ofFamily = (list: readonly NamedAddress[]) => list.filter(({ address }) => familyOf(address) === family);
    return {
      family,
      clusterIP,
      externalIPs: ofFamily(externalIPs),
      loadBalancerIPs: ofFamily(loadBalancerIPs),
      sourceRanges: ranges[family],
    };
  });
  return families[0]?.family === 'IPv6' ? families.reverse() : families;
}
