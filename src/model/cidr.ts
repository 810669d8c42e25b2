/** Networks: parsing and membership. */
import { type Address, familyOf, parseAddress, readAddress, writeAddress } from './address.ts';
import type { Cidr } from './compiled.ts';

/** Bits before an IPv4 address in its 16-byte form. */
const MAPPED_BITS = 96;

/**
 * Reads a network as kube-proxy does (netutils.ParseCIDRSloppy): leading zeros say nothing, and a network of mapped
 * addresses is one of IPv4.
 * @returns the network with its host bits cleared, or undefined when the text is no CIDR
 */
export function parseCidr(text: string): Cidr | undefined {
  const [, host = '', length = ''] = /^([^/]+)\/0*(\d{1,3})$/.exec(text) ?? [];
  const address = parseAddress(host);
  if (address === undefined) return undefined;
  // What was written with colons counts its bits from the start of 128.
  const isLong = host.includes(':');
  const bits = Number(length);
  if (bits > (isLong ? 128 : 32)) return undefined;
  return networkOf(address, isLong ? bits : bits + MAPPED_BITS);
}

/** `address/bits` */
export function formatCidr(cidr: Cidr): string {
  return `${cidr.address}/${cidr.bits}`;
}

/** @returns whether the address is in the network; never across families. */
export function cidrContains(cidr: Cidr, address: Address): boolean {
  const family = familyOf(cidr.address);
  if (family !== familyOf(address)) return false;
  return networkOf(address, family === 'IPv4' ? cidr.bits + MAPPED_BITS : cidr.bits).address === cidr.address;
}

/** @param kept bits of the 16-byte form that are kept */
function networkOf(address: Address, kept: number): Cidr {
  const buffer = Buffer.alloc(16);
  writeAddress(buffer, 0, address);
  for (let i = 0; i < 16; i++) {
    const bits = Math.min(8, Math.max(0, kept - 8 * i));
    buffer[i] = (buffer[i] ?? 0) & (0xff << (8 - bits));
  }
  const network = readAddress(buffer, 0);
  return { address: network, bits: familyOf(network) === 'IPv4' ? kept - MAPPED_BITS : kept };
}
