/** Hands out the addresses of networks: cluster IPs, load-balancer IPs. */
import { isIPv4, isIPv6 } from 'node:net';
import { readAddress, writeAddress } from '../../../src/model/address.ts';

export type Family = 'IPv4' | 'IPv6';

/** The address as a number: 32 or 128 bits. */
function toNumber(address: string): bigint {
  const buffer = Buffer.alloc(16);
  writeAddress(buffer, 0, address);
  return isIPv4(address)
    ? BigInt(buffer.readUInt32BE(12))
    : (buffer.readBigUInt64BE(0) << 64n) | buffer.readBigUInt64BE(8);
}

function toText(value: bigint, family: Family): string {
  const buffer = Buffer.alloc(16);
  if (family === 'IPv4') {
    buffer[10] = 0xff;
    buffer[11] = 0xff;
    buffer.writeUInt32BE(Number(value), 12);
  } else {
    buffer.writeBigUInt64BE(value >> 64n, 0);
    buffer.writeBigUInt64BE(value & 0xffff_ffff_ffff_ffffn, 8);
  }
  return readAddress(buffer, 0);
}

export interface AddressPool {
  readonly family: Family;
  readonly cidr: string;
  contains(address: string): boolean;
  /** @returns false when the address is taken already. */
  take(address: string): boolean;
  /** @returns a free address; undefined when there is none. */
  next(): string | undefined;
  release(address: string): void;
}

const MAX_POOL = 1n << 20n;

/**
 * @param cidr e.g. `10.96.0.0/16`; its first and, in IPv4, its last address are never given out
 * @param reserved so many addresses at the start are given out last, for those who ask for a certain one
 */
export function createAddressPool(cidr: string, reserved = 0): AddressPool {
  const [text = '', length = ''] = cidr.split('/');
  const family: Family = isIPv4(text) ? 'IPv4' : 'IPv6';
  const width = family === 'IPv4' ? 32 : 128;
  const bits = Number(length);
  if ((!isIPv4(text) && !isIPv6(text)) || !/^\d+$/.test(length) || bits > width)
    throw new Error(`${cidr} is no network`);
  const hostBits = BigInt(width - bits);
  const base = (toNumber(text) >> hostBits) << hostBits;
  const all = 1n << hostBits;
  const size = all < MAX_POOL ? all : MAX_POOL;
  const last = family === 'IPv4' && size === all ? size - 2n : size - 1n;
  const taken = new Set<string>();
  let cursor = BigInt(reserved) < last ? BigInt(reserved) + 1n : 1n;

  return {
    family,
    cidr,
    contains: (address) =>
      (family === 'IPv4' ? isIPv4(address) : isIPv6(address)) && toNumber(address) >> hostBits === base >> hostBits,
    take(address) {
      if (taken.has(address)) return false;
      taken.add(address);
      return true;
    },
    next() {
      for (let tried = 0n; tried < last; tried++) {
        if (cursor > last) cursor = 1n;
        const address = toText(base + cursor++, family);
        if (!taken.has(address)) {
          taken.add(address);
          return address;
        }
      }
      return undefined;
    },
    release(address) {
      taken.delete(address);
    },
  };
}

export interface PortPool {
  take(port: number): boolean;
  next(): number | undefined;
  release(port: number): void;
}

/** Ports first…last, both included; so many at the start are given out last. */
export function createPortPool(first: number, last: number, reserved = 0): PortPool {
  const taken = new Set<number>();
  let cursor = first + reserved;
  return {
    take(port) {
      if (taken.has(port)) return false;
      taken.add(port);
      return true;
    },
    next() {
      for (let tried = first; tried <= last; tried++) {
        if (cursor > last) cursor = first;
        const port = cursor++;
        if (!taken.has(port)) {
          taken.add(port);
          return port;
        }
      }
      return undefined;
    },
    release(port) {
      taken.delete(port);
    },
  };
}
