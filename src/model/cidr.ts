/** Networks: parsing and membership. */
import { type Address, familyOf, parseAddress, readAddress, writeAddress } from './address.ts';
import type { Cidr } from './compiled.ts';

/** @returns the network with its host bits cleared, or undefined when the text is no CIDR. */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf('/');
  if (slash < 0) return undefined;
  const length = text.slice(slash + 1);
  if (!/^\d{1,3}$/.test(length)) return undefined;
  const address = parseAddress(text.slice(0, slash));
  if (address === undefined) return undefined;
  const bits = Number(length);
  if (bits > familyBits(address)) return undefined;
  return { address: networkOf(address, bits), bits };
}

/** `address/bits` */
export function formatCidr(cidr: Cidr): string {
  return `${cidr.address}/${cidr.bits}`;
}

/** @returns whether the address is in the network; never across families. */
export function cidrContains(cidr: Cidr, address: Address): boolean {
  return familyOf(cidr.address) === familyOf(address) && networkOf(address, cidr.bits) === cidr.address;
}

function familyBits(address: Address): number {
  return familyOf(address) === 'IPv4' ? 32 : 128;
}

function networkOf(address: Address, bits: number): Address {
  const buffer = Buffer.alloc(16);
  writeAddress(buffer, 0, address);
  const keep = bits + 128 - familyBits(address);
  for (let i = 0; i < 16; i++) {
    const left = Math.min(8, Math.max(0, keep - 8 * i));
    buffer[i] = (buffer[i] ?? 0) & (0xff << (8 - left));
  }
  return readAddress(buffer, 0);
}
