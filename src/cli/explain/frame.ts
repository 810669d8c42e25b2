/** The first packet of a connection as a frame, and what a frame says of itself afterwards. */
import { type Address, familyOf, readAddress, writeAddress } from '../../model/address.ts';
import { PROTOCOL_NUMBERS, type Protocol } from '../../model/compiled.ts';
import { writeMac } from '../../model/mac.ts';

const ETHERNET = 14;
const TYPES = { IPv4: 0x0800, IPv6: 0x86dd } as const;
const TTL = 64;

export interface Tuple {
  readonly source: Address;
  readonly sourcePort: number;
  readonly destination: Address;
  readonly destinationPort: number;
}

const SENDER = '02:00:00:00:00:02';

/**
 * @param mac that it is for: of the device by which it comes in
 * @returns a SYN, a datagram of one byte, or an INIT. Ports in host byte order.
 */
export function firstFrame(tuple: Tuple, protocol: Protocol, mac: string): Buffer {
  const family = familyOf(tuple.source);
  const l4 = transport(tuple, protocol, family);
  const frame = Buffer.concat([Buffer.alloc(ETHERNET), networkHeader(tuple, protocol, family, l4.length), l4]);
  writeMac(frame, 0, mac);
  writeMac(frame, 6, SENDER);
  frame.writeUInt16BE(TYPES[family], 12);
  return frame;
}

function networkHeader(
  { source, destination }: Tuple,
  protocol: Protocol,
  family: 'IPv4' | 'IPv6',
  length: number,
): Buffer {
  if (family === 'IPv6') {
    const header = Buffer.alloc(40);
    header.writeUInt32BE(0x60000000, 0);
    header.writeUInt16BE(length, 4);
    header.set([PROTOCOL_NUMBERS[protocol], TTL], 6);
    writeAddress(header, 8, source);
    writeAddress(header, 24, destination);
    return header;
  }
  const header = Buffer.alloc(20);
  header[0] = 0x45;
  header.writeUInt16BE(20 + length, 2);
  header.set([TTL, PROTOCOL_NUMBERS[protocol]], 8);
  four(source).copy(header, 12);
  four(destination).copy(header, 16);
  header.writeUInt16BE(checksum(header), 10);
  return header;
}

function four(address: Address): Buffer {
  const whole = Buffer.alloc(16);
  writeAddress(whole, 0, address);
  return whole.subarray(12);
}

function transport(
  { source, destination, sourcePort, destinationPort }: Tuple,
  protocol: Protocol,
  family: 'IPv4' | 'IPv6',
): Buffer {
  const l4 = Buffer.alloc({ TCP: 20, UDP: 9, SCTP: 32 }[protocol]);
  l4.writeUInt16BE(sourcePort, 0);
  l4.writeUInt16BE(destinationPort, 2);
  // SCTP has a CRC32c, which the programs change by differences and never check.
  if (protocol === 'SCTP') {
    l4[12] = 1;
    l4.writeUInt16BE(20, 14);
    return l4;
  }
  if (protocol === 'TCP') {
    l4.set([5 << 4, 2], 12);
    l4.writeUInt16BE(65_535, 14);
  } else l4.writeUInt16BE(l4.length, 4);
  const addresses = Buffer.alloc(32);
  writeAddress(addresses, 0, source);
  writeAddress(addresses, 16, destination);
  const tail = Buffer.from([0, PROTOCOL_NUMBERS[protocol], 0, l4.length]);
  const pseudo =
    family === 'IPv6' ? addresses : Buffer.concat([addresses.subarray(12, 16), addresses.subarray(28, 32)]);
  l4.writeUInt16BE(checksum(Buffer.concat([pseudo, tail, l4])), protocol === 'TCP' ? 16 : 6);
  return l4;
}

/** RFC 1071 */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** @returns undefined for what is neither IPv4 nor IPv6 with ports. Of an encapsulated packet its outer one. */
export function readTuple(frame: Buffer): Tuple | undefined {
  const type = frame.length < ETHERNET + 44 ? 0 : frame.readUInt16BE(12);
  if (type === TYPES.IPv6) {
    const [source, destination] = [readAddress(frame, ETHERNET + 8), readAddress(frame, ETHERNET + 24)];
    return withPorts(frame, ETHERNET + 40, source, destination);
  }
  const short = frame.length >= ETHERNET + 24 && frame.readUInt16BE(12) === TYPES.IPv4;
  if (!short) return undefined;
  const at = ETHERNET + ((frame[ETHERNET] ?? 0) & 15) * 4;
  const dotted = (from: number) => [...frame.subarray(from, from + 4)].join('.');
  return withPorts(frame, at, dotted(ETHERNET + 12), dotted(ETHERNET + 16));
}

function withPorts(frame: Buffer, at: number, source: Address, destination: Address): Tuple | undefined {
  if (at + 4 > frame.length) return undefined;
  const [sourcePort, destinationPort] = [frame.readUInt16BE(at), frame.readUInt16BE(at + 2)];
  return { source, sourcePort, destination, destinationPort };
}
