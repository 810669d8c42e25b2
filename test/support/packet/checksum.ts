/** One's complement sums (RFC 1071), computed the plain way: the data path's own are checked against them. */
import { familyOf, writeAddress } from '../../../src/model/address.ts';

/** @returns the 16-bit sum of the bytes, without the final complement; an odd last byte is padded with zero. */
export function onesSum(bytes: Buffer): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

export function checksumOf(...parts: readonly Buffer[]): number {
  return ~onesSum(Buffer.concat(parts)) & 0xffff;
}

/** Bytes of an address on the wire: 4 or 16. */
export function addressBytes(address: string): Buffer {
  const bytes = Buffer.alloc(16);
  writeAddress(bytes, 0, address);
  return familyOf(address) === 'IPv4' ? bytes.subarray(12) : bytes;
}

/** The pseudo header of TCP, UDP and ICMPv6 (RFC 9293 3.1, RFC 8200 8.1). */
export function pseudoHeader(source: Buffer, destination: Buffer, proto: number, length: number): Buffer {
  const rest = Buffer.alloc(source.length === 4 ? 4 : 8);
  rest[rest.length - (source.length === 4 ? 3 : 1)] = proto;
  if (source.length === 4) rest.writeUInt16BE(length, 2);
  else rest.writeUInt32BE(length, 0);
  return Buffer.concat([source, destination, rest]);
}

/** CRC32c of each byte (RFC 9260 appendix A), bits reflected. */
const CRC32C = Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc >>> 0;
});

/** CRC32c of the bytes as a number; on the wire it stands with the least byte first. */
export function crc32c(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ (CRC32C[(crc ^ byte) & 0xff] as number);
  return ~crc >>> 0;
}

/** The CRC32c of an SCTP packet: its own field counts as zero. */
export function sctpChecksum(l4: Buffer): number {
  return crc32c(Buffer.concat([l4.subarray(0, 8), Buffer.alloc(4), l4.subarray(12)]));
}
