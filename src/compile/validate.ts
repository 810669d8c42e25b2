/**
 * Typed readers for objects as they arrive, where any field may be missing or of another type.
 * A reader returns undefined and reports when a value cannot be used; a missing value is no fault
 * unless the reader says so.
 */
import { type Address, familyOf, isLinkLocal, parseAddress } from '../model/address.ts';
import { PROTOCOL_NUMBERS, type Protocol } from '../model/compiled.ts';
import type { ProblemSink } from './problems.ts';

export type Fields = Readonly<Record<string, unknown>>;

const NO_FIELDS: Fields = {};
const NO_ITEMS: readonly unknown[] = [];
const SHOWN_CHARACTERS = 48;
const LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9][-a-z0-9.]{0,252}$/;
const TIMESTAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/;

/** A value as a person can read it in a message: short and on one line. */
export function show(value: unknown): string {
  if (value === undefined || value === null) return 'nothing';
  if (typeof value === 'string') {
    const cut = value.length > SHOWN_CHARACTERS;
    return JSON.stringify(cut ? `${value.slice(0, SHOWN_CHARACTERS)}…` : value);
  }
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return Array.isArray(value) ? 'a list' : 'an object';
}

/** What is wrong with a value, e.g. `fault(70000, 'is no port')`. */
export function fault(value: unknown, what: string): string {
  return value === undefined || value === null ? 'is missing' : `${show(value)} ${what}`;
}

/** @returns the fields of an object, none for anything else. */
export function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : NO_FIELDS;
}

/** @returns the items of a list, cut at `limit`; reports what is no list and what is too long. */
export function itemsOf(value: unknown, field: string, limit: number, problems: ProblemSink): readonly unknown[] {
  if (value === undefined || value === null) return NO_ITEMS;
  if (!Array.isArray(value)) {
    problems.add(field, `is ${show(value)}, not a list`);
    return NO_ITEMS;
  }
  if (value.length <= limit) return value;
  problems.add(field, `has ${value.length} items, more than ${limit}: the rest is ignored`);
  return value.slice(0, limit);
}

export function isPort(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65535;
}

/** TCP when missing, as the API server has it. */
export function protocolOf(value: unknown): Protocol | undefined {
  if (value === undefined || value === null) return 'TCP';
  return typeof value === 'string' && Object.hasOwn(PROTOCOL_NUMBERS, value) ? (value as Protocol) : undefined;
}

/** A DNS label of at most 63 characters: names of Services, namespaces and ports. */
export function isLabel(value: unknown): value is string {
  return typeof value === 'string' && value.length <= 63 && LABEL.test(value);
}

/** A DNS subdomain of at most 253 characters: names of EndpointSlices. */
export function isSubdomain(value: unknown): value is string {
  return typeof value === 'string' && value.length <= 253 && SUBDOMAIN.test(value);
}

/** `namespace/name` in its parts; without a slash all of it is the name. */
export function splitKey(key: string): [namespace: string, name: string] {
  const at = key.indexOf('/');
  return [key.slice(0, Math.max(0, at)), key.slice(at + 1)];
}

/** @returns milliseconds since the epoch, or undefined for anything but an RFC 3339 time. */
export function timestampOf(value: unknown): number | undefined {
  if (typeof value !== 'string' || value.length > 40 || !TIMESTAMP.test(value)) return undefined;
  const time = Date.parse(value);
  return Number.isNaN(time) ? undefined : time;
}

/**
 * Why packets must not be sent to an address of a Service, whatever an object says: undefined when they may.
 * `linkLocal` refuses link-local addresses too, as the API server does for endpoints and external IPs.
 */
export function refuseAddress(address: Address, linkLocal: boolean): string | undefined {
  if (familyOf(address) === 'IPv4') {
    const first = Number.parseInt(address, 10);
    if (first === 127) return 'is a loopback address';
    if (first === 0) return 'is an unspecified address';
    if (first >= 224 && first < 240) return 'is a multicast address';
    if (address === '255.255.255.255') return 'is the broadcast address';
    return linkLocal && isLinkLocal(address) ? 'is a link-local address' : undefined;
  }
  if (address === '::1') return 'is the loopback address';
  if (address === '::') return 'is the unspecified address';
  if (/^ff[0-9a-f]{2}:/.test(address)) return 'is a multicast address';
  return linkLocal && isLinkLocal(address) ? 'is a link-local address' : undefined;
}

/** @returns the canonical address, or undefined when it cannot be used; addressOf says why. */
export function usableAddress(value: unknown, linkLocal: boolean): Address | undefined {
  const address = typeof value === 'string' && value.length <= 64 ? parseAddress(value) : undefined;
  return address === undefined || refuseAddress(address, linkLocal) !== undefined ? undefined : address;
}

/** @returns the canonical address, or undefined after reporting why it cannot be used. */
export function addressOf(
  value: unknown,
  field: string,
  linkLocal: boolean,
  problems: ProblemSink,
): Address | undefined {
  const usable = usableAddress(value, linkLocal);
  if (usable !== undefined) return usable;
  const address = typeof value === 'string' && value.length <= 64 ? parseAddress(value) : undefined;
  if (address !== undefined) problems.add(field, `${address} ${refuseAddress(address, linkLocal)}`);
  else problems.add(field, fault(value, 'is no IP address'));
  return undefined;
}
