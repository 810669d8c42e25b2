/** Networks: parsing and membership. */
import { type Address, type Family, familyOf, parseAddress, readAddress, writeAddress } from '../model/address.ts';
import type { Cidr } from '../model/compiled.ts';

/** Bytes before an IPv4 address in its 16-byte form. */
const MAPPED_BITS = 96;

/** Sets the bits after `bits` of a 16-byte address to zero. */
function mask(bytes: Buffer, bits: number): void {
  for (let i = 0; i < 16; i++) {
    const kept = Math.min(8, Math.max(0, bits - 8 * i));
    bytes[i] = (bytes[i] ?? 0) & (0xff00 >> kept) & 0xff;
  }
}

function mappedBits(address: Address, bits: number): number {
  return familyOf(address) === 'IPv4' ? MAPPED_BITS + bits : bits;
}

/** The network of an address, in canonical text. */
function networkOf(address: Address, bits: number): Address {
  const bytes = Buffer.alloc(16);
  writeAddress(bytes, 0, address);
  mask(bytes, mappedBits(address, bits));
  return readAddress(bytes, 0);
}

/** @returns the network with its host bits cleared, or undefined when the text is none. */
export function parseCidr(text: string): Cidr | undefined {
  const match = /^([0-9a-fA-F.:]{2,45})\/(\d{1,3})$/.exec(text);
  const address = parseAddress(match?.[1] ?? '');
  if (address === undefined) return undefined;
  const family: Family = text.includes(':') ? 'IPv6' : 'IPv4';
  const bits = Number(match?.[2]);
  if (familyOf(address) !== family || bits > (family === 'IPv4' ? 32 : 128)) return undefined;
  return { address: networkOf(address, bits), bits };
}

export function cidrContains(cidr: Cidr, address: Address): boolean {
  return familyOf(cidr.address) === familyOf(address) && networkOf(address, cidr.bits) === cidr.address;
}
