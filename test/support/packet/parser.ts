/** Takes frames apart and checks every checksum in them. */
import { readAddress } from '../../../src/model/address.ts';
import { readMac } from '../../../src/model/mac.ts';
import { FRAGMENT, ICMP, ICMPV6, SCTP, TCP, UDP } from './builder.ts';
import { onesSum, pseudoHeader, sctpChecksum } from './checksum.ts';

export interface Parsed {
  readonly family: 4 | 6;
  readonly source: string;
  readonly destination: string;
  readonly ttl: number;
  /** TOS or traffic class. */
  readonly trafficClass: number;
  readonly proto: number;
  /** Ports of TCP, UDP and SCTP; 0 for others. */
  readonly sport: number;
  readonly dport: number;
  /** Transport header and what follows it. */
  readonly l4: Buffer;
  /** Checksums that do not hold, e.g. `IPv4 header`. */
  readonly wrong: readonly string[];
}

export interface ParsedFrame extends Parsed {
  readonly smac: string;
  readonly dmac: string;
}

const EXTENSIONS = new Set([0, 43, 60]);

function mapped(bytes: Buffer): string {
  return bytes.length === 16
    ? readAddress(bytes, 0)
    : readAddress(Buffer.concat([Buffer.alloc(10), Buffer.from([0xff, 0xff]), bytes]), 0);
}

/** @returns where the transport header begins and which one it is. */
function skipExtensions(ip: Buffer): { at: number; proto: number; fragment: boolean } {
  let at = 40;
  let proto = ip[6] ?? 0;
  let fragment = false;
  while ((EXTENSIONS.has(proto) || proto === FRAGMENT) && at + 8 <= ip.length) {
    const next = ip[at] ?? 0;
    if (proto === FRAGMENT && (ip.readUInt16BE(at + 2) & 0xfff9) !== 0) fragment = true;
    at += proto === FRAGMENT ? 8 : ((ip[at + 1] ?? 0) + 1) * 8;
    proto = next;
  }
  return { at, proto, fragment };
}

function transportIsWrong(source: Buffer, destination: Buffer, proto: number, l4: Buffer): boolean {
  if (proto === SCTP) return l4.readUInt32LE(8) !== 0 && l4.readUInt32LE(8) !== sctpChecksum(l4);
  if (proto === ICMP) return onesSum(l4) !== 0xffff;
  if (proto !== TCP && proto !== UDP && proto !== ICMPV6) return false;
  if (proto === UDP && l4.readUInt16BE(6) === 0) return source.length === 16;
  return onesSum(Buffer.concat([pseudoHeader(source, destination, proto, l4.length), l4])) !== 0xffff;
}

/**
 * @param ip a network header and what follows it.
 * @param whole false for the shortened packet in an ICMP error: its transport checksum cannot be checked.
 * @throws RangeError for what is shorter than its headers say.
 */
export function parsePacket(ip: Buffer, whole = true): Parsed {
  const v4 = (ip[0] ?? 0) >> 4 === 4;
  const header = v4 ? ((ip[0] ?? 0) & 15) * 4 : 40;
  const end = v4 ? ip.readUInt16BE(2) : 40 + ip.readUInt16BE(4);
  if (whole && end > ip.length) throw new RangeError(`packet of ${end} bytes in ${ip.length}`);
  const fragment4 = v4 && (ip.readUInt16BE(6) & 0x3fff) !== 0;
  const { at, proto, fragment } = v4 ? { at: header, proto: ip[9] ?? 0, fragment: fragment4 } : skipExtensions(ip);
  const source = v4 ? ip.subarray(12, 16) : ip.subarray(8, 24);
  const destination = v4 ? ip.subarray(16, 20) : ip.subarray(24, 40);
  const l4 = ip.subarray(at, whole ? end : undefined);
  const ports = proto === TCP || proto === UDP || proto === SCTP;
  const wrong = v4 && onesSum(ip.subarray(0, header)) !== 0xffff ? ['IPv4 header'] : [];
  if (whole && !fragment && transportIsWrong(source, destination, proto, l4)) wrong.push(`protocol ${proto}`);
  return {
    family: v4 ? 4 : 6,
    source: mapped(source),
    destination: mapped(destination),
    ttl: (v4 ? ip[8] : ip[7]) ?? 0,
    trafficClass: v4 ? (ip[1] ?? 0) : (ip.readUInt16BE(0) >> 4) & 0xff,
    proto,
    sport: ports ? l4.readUInt16BE(0) : 0,
    dport: ports ? l4.readUInt16BE(2) : 0,
    l4,
    wrong,
  };
}

/** @throws RangeError as parsePacket; Error when a checksum does not hold. */
export function parseFrame(frame: Buffer): ParsedFrame {
  const parsed = { ...parsePacket(frame.subarray(14)), smac: readMac(frame, 6), dmac: readMac(frame, 0) };
  if (parsed.wrong.length > 0) throw new Error(`wrong checksum: ${parsed.wrong.join(', ')}`);
  return parsed;
}

/** `address:port > address:port`, brackets round IPv6 addresses left out for shortness. */
export function tupleText(packet: Pick<Parsed, 'source' | 'sport' | 'destination' | 'dport'>): string {
  return `${packet.source} ${packet.sport} > ${packet.destination} ${packet.dport}`;
}
