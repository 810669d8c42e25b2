/** The packets around packets of direct server return, built and taken apart independently of the programs. */
import type { Address } from '../../../src/model/address.ts';
import { packet, UDP } from './builder.ts';
import { addressBytes } from './checksum.ts';
import { type Parsed, parsePacket } from './parser.ts';

export type Encapsulation = 'ipip' | 'geneve';

export const GENEVE_PORT = 6081;
/** Bytes around the packet. */
export const OVERHEAD = { ipip: { 4: 20, 6: 40 }, geneve: { 4: 48, 6: 80 } } as const;
const IP_IN_IP = { 4: 4, 6: 41 } as const;
const ETHER_TYPES = { 4: 0x0800, 6: 0x86dd } as const;
const HEADER = { 4: 20, 6: 40 } as const;

export interface GeneveHeader {
  /** Experimental class, and the type of the option. */
  readonly class?: number;
  readonly type?: number;
  readonly vni?: number;
}

/** Geneve with its one option (RFC 8926): what the client dialled. */
export function geneveHeader(
  family: 4 | 6,
  address: Address,
  port: number,
  { class: kind = 0xff51, type = 0x81, vni = 5 }: GeneveHeader = {},
): Buffer {
  const data = Buffer.concat([addressBytes(address), Buffer.from([port >> 8, port & 255, 0, 0])]);
  const header = Buffer.alloc(12);
  header[0] = (4 + data.length) / 4;
  header[1] = 0x40;
  header.writeUInt16BE(ETHER_TYPES[family], 2);
  header.writeUInt32BE(vni << 8, 4);
  header.writeUInt16BE(kind, 8);
  header[10] = type;
  header[11] = data.length / 4;
  return Buffer.concat([header, data]);
}

export interface Around {
  readonly family: 4 | 6;
  readonly from: Address;
  readonly to: Address;
  /** With Geneve: what the client dialled. */
  readonly dialled?: readonly [Address, number];
  readonly geneve?: GeneveHeader;
  readonly trafficClass?: number;
}

/** Puts the packet of a frame into another one. */
export function wrap(frame: Buffer, { family, from, to, dialled, geneve, trafficClass = 0 }: Around): Buffer {
  const inside = frame.subarray(14);
  if (dialled === undefined)
    return packet(from, to).trafficClass(trafficClass).protocol(IP_IN_IP[family], inside).build();
  const payload = Buffer.concat([geneveHeader(family, ...dialled, geneve), inside]);
  return packet(from, to)
    .trafficClass(trafficClass)
    .udp(50_000, GENEVE_PORT, { noChecksum: true })
    .payload(payload)
    .build();
}

export interface Unwrapped {
  readonly outer: Parsed;
  /** Of Geneve, UDP header left out. */
  readonly header: Buffer;
  readonly inner: Parsed;
  /** The packet inside as a frame. */
  readonly frame: Buffer;
}

/** Takes a frame apart. @throws Error when a checksum inside does not hold, or a length is wrong */
export function unwrap(frame: Buffer, encapsulation: Encapsulation): Unwrapped {
  const ip = frame.subarray(14);
  const outer = parsePacket(ip, false);
  const { family } = outer;
  const overhead = OVERHEAD[encapsulation][family];
  const inside = ip.subarray(overhead);
  const length = family === 4 ? ip.readUInt16BE(2) : ip.readUInt16BE(4) + 40;
  if (length !== ip.length) throw new Error(`the outer header says ${length} bytes of ${ip.length}`);
  if (outer.wrong.length > 0) throw new Error(`wrong outside: ${outer.wrong.join()}`);
  if (encapsulation === 'geneve') {
    if (outer.proto !== UDP || outer.l4.readUInt16BE(4) !== ip.length - HEADER[family])
      throw new Error('the UDP header around it is wrong');
  } else if (outer.proto !== IP_IN_IP[family]) throw new Error(`protocol ${outer.proto} outside`);
  const inner = parsePacket(inside);
  if (inner.wrong.length > 0) throw new Error(`wrong inside: ${inner.wrong.join()}`);
  const header = ip.subarray(HEADER[family] + 8, overhead);
  return { outer, header, inner, frame: Buffer.concat([frame.subarray(0, 14), inside]) };
}
