/**
 * Builds Ethernet frames with IPv4 or IPv6 in them, checksums correct unless asked otherwise:
 * `packet('192.0.2.9', '10.96.0.10').tcp(40000, 80, 'S').build()`.
 */
import { type Address, familyOf } from '../../../src/model/address.ts';
import { writeMac } from '../../../src/model/mac.ts';
import { addressBytes, checksumOf, pseudoHeader, sctpChecksum } from './checksum.ts';

export const TCP = 6;
export const UDP = 17;
export const ICMP = 1;
export const ICMPV6 = 58;
export const SCTP = 132;
export const FRAGMENT = 44;

/** Type and code of errors (RFC 792, RFC 1191, RFC 4443). */
const ICMP_ERRORS = {
  'port unreachable': { 4: [3, 3], 6: [1, 4] },
  'too big': { 4: [3, 4], 6: [2, 0] },
  'time exceeded': { 4: [11, 0], 6: [3, 0] },
} as const;
export type IcmpErrorKind = keyof typeof ICMP_ERRORS;
export const ICMP_ERROR_KINDS = Object.keys(ICMP_ERRORS) as IcmpErrorKind[];

/** TCP flags by their letters, as tcpdump writes them. */
const TCP_FLAGS: Readonly<Record<string, number>> = { F: 1, S: 2, R: 4, P: 8, '.': 16 };

export interface TcpOptions {
  readonly seq?: number;
  readonly ack?: number;
  /** Bytes of TCP options, a multiple of 4. */
  readonly options?: Buffer;
}

/** An IPv6 extension header: its number, and its bytes. */
interface Extension {
  readonly proto: number;
  readonly bytes: Buffer;
}

export class PacketBuilder {
  readonly #source: Address;
  readonly #destination: Address;
  #macs: readonly string[] = ['02:00:00:00:00:aa', '02:00:00:00:00:bb'];
  #ttl = 64;
  #trafficClass = 0;
  #options = Buffer.alloc(0);
  #fragment = 0;
  #identification = 0x1234;
  #extensions: Extension[] = [];
  #proto = 0;
  #l4 = Buffer.alloc(0);
  #payload = Buffer.alloc(0);
  /** Offset of the checksum in the transport header; none: it has no checksum. */
  #checkAt: number | undefined;
  #zeroChecksum = false;
  #init = false;

  constructor(source: Address, destination: Address) {
    this.#source = source;
    this.#destination = destination;
  }

  macs(source: string, destination: string): this {
    this.#macs = [source, destination];
    return this;
  }

  /** TTL or hop limit. */
  ttl(ttl: number): this {
    this.#ttl = ttl;
    return this;
  }

  /** TOS or traffic class: DSCP, and two bits of ECN. */
  trafficClass(value: number): this {
    this.#trafficClass = value;
    return this;
  }

  /** IPv4 options, a multiple of 4 bytes. */
  ipOptions(bytes: Buffer): this {
    this.#options = Buffer.from(bytes);
    return this;
  }

  /** IPv4: offset in units of 8 bytes, and whether more fragments follow. */
  fragment(offset: number, more = false): this {
    this.#fragment = offset | (more ? 0x2000 : 0);
    return this;
  }

  /** IPv4: what pieces of one datagram have in common; 16 bits. */
  identification(id: number): this {
    this.#identification = id & 0xffff;
    return this;
  }

  /** Adds an IPv6 extension header, a multiple of 8 bytes: next header and length are filled in. */
  extension(proto: number, bytes: Buffer = Buffer.alloc(8)): this {
    const header = Buffer.from(bytes);
    // A fragment header has a reserved byte there (RFC 8200 4.5).
    if (proto !== FRAGMENT) header[1] = header.length / 8 - 1;
    this.#extensions.push({ proto, bytes: header });
    return this;
  }

  /** @param flags e.g. `S`, `S.`, `.`, `F.`, `R` */
  tcp(source: number, destination: number, flags = 'S', { seq = 1000, ack = 0, options }: TcpOptions = {}): this {
    const header = Buffer.concat([Buffer.alloc(20), options ?? Buffer.alloc(0)]);
    header.writeUInt16BE(source, 0);
    header.writeUInt16BE(destination, 2);
    header.writeUInt32BE(seq, 4);
    header.writeUInt32BE(ack, 8);
    header[12] = (header.length / 4) << 4;
    header[13] = [...flags].reduce((bits, letter) => bits | (TCP_FLAGS[letter] ?? 0), 0);
    header.writeUInt16BE(64240, 14);
    return this.#transport(TCP, header, 16);
  }

  udp(source: number, destination: number, { noChecksum = false } = {}): this {
    const header = Buffer.alloc(8);
    header.writeUInt16BE(source, 0);
    header.writeUInt16BE(destination, 2);
    this.#zeroChecksum = noChecksum;
    return this.#transport(UDP, header, 6);
  }

  /** Chunks are the payload. @param init whether the first one, added where there is none, is an INIT, without a tag */
  sctp(source: number, destination: number, { noChecksum = false, init = true } = {}): this {
    const header = Buffer.alloc(12);
    header.writeUInt16BE(source, 0);
    header.writeUInt16BE(destination, 2);
    header.writeUInt32BE(init ? 0 : 0xfeedbeef, 4);
    this.#init = init;
    this.#zeroChecksum = noChecksum;
    return this.#transport(SCTP, header, 8);
  }

  /** An ICMP error of the addresses' family; what it quotes is the payload. @param rest its second four bytes */
  icmp(type: number, code: number, rest = 0): this {
    const header = Buffer.from([type, code, 0, 0, 0, 0, 0, 0]);
    header.writeUInt32BE(rest, 4);
    return this.#transport(familyOf(this.#source) === 'IPv4' ? ICMP : ICMPV6, header, 2);
  }

  /** An echo request of the addresses' family. */
  ping(identifier = 7): this {
    const v4 = familyOf(this.#source) === 'IPv4';
    const header = Buffer.from([v4 ? 8 : 128, 0, 0, 0, 0, 0, 0, 1]);
    header.writeUInt16BE(identifier, 4);
    return this.#transport(v4 ? ICMP : ICMPV6, header, 2);
  }

  /** Any other protocol: the bytes after the network header. */
  protocol(proto: number, bytes: Buffer): this {
    return this.#transport(proto, bytes, undefined);
  }

  payload(bytes: Buffer | string): this {
    this.#payload = Buffer.from(bytes);
    return this;
  }

  build(): Buffer {
    const chunks = this.#proto === SCTP && this.#init ? initChunk(this.#payload) : this.#payload;
    const l4 = Buffer.concat([this.#l4, chunks]);
    if (this.#proto === UDP && this.#checkAt !== undefined) l4.writeUInt16BE(l4.length, 4);
    this.#writeTransportChecksum(l4);
    const v4 = familyOf(this.#source) === 'IPv4';
    const ethernet = Buffer.alloc(14);
    writeMac(ethernet, 0, this.#macs[1] ?? '');
    writeMac(ethernet, 6, this.#macs[0] ?? '');
    ethernet.writeUInt16BE(v4 ? 0x0800 : 0x86dd, 12);
    return Buffer.concat([ethernet, v4 ? this.#ipv4(l4.length) : this.#ipv6(l4.length), l4]);
  }

  #transport(proto: number, header: Buffer, checkAt: number | undefined): this {
    this.#proto = proto;
    this.#l4 = Buffer.from(header);
    this.#checkAt = checkAt;
    return this;
  }

  #writeTransportChecksum(l4: Buffer): void {
    if (this.#checkAt === undefined || this.#zeroChecksum) return;
    if (this.#proto === SCTP) {
      l4.writeUInt32LE(sctpChecksum(l4), this.#checkAt);
      return;
    }
    const pseudo = pseudoHeader(addressBytes(this.#source), addressBytes(this.#destination), this.#proto, l4.length);
    const check = this.#proto === ICMP ? checksumOf(l4) : checksumOf(pseudo, l4);
    l4.writeUInt16BE(this.#proto === UDP && check === 0 ? 0xffff : check, this.#checkAt);
  }

  #ipv4(length: number): Buffer {
    const header = Buffer.concat([Buffer.alloc(20), this.#options]);
    header[0] = 0x40 | (header.length / 4);
    header[1] = this.#trafficClass;
    header.writeUInt16BE(header.length + length, 2);
    header.writeUInt16BE(this.#identification, 4);
    header.writeUInt16BE(this.#fragment, 6);
    header[8] = this.#ttl;
    header[9] = this.#proto;
    addressBytes(this.#source).copy(header, 12);
    addressBytes(this.#destination).copy(header, 16);
    header.writeUInt16BE(checksumOf(header), 10);
    return header;
  }

  #ipv6(length: number): Buffer {
    const numbers = [...this.#extensions.map(({ proto }) => proto), this.#proto];
    const extensions = this.#extensions.map(({ bytes }, i) => {
      bytes[0] = numbers[i + 1] ?? 0;
      return bytes;
    });
    const after = Buffer.concat(extensions);
    const header = Buffer.alloc(40);
    header.writeUInt16BE(0x6000 | (this.#trafficClass << 4), 0);
    header.writeUInt16BE(after.length + length, 4);
    header[6] = numbers[0] ?? 0;
    header[7] = this.#ttl;
    addressBytes(this.#source).copy(header, 8);
    addressBytes(this.#destination).copy(header, 24);
    return Buffer.concat([header, after]);
  }
}

/** The same bytes with the type of an INIT (RFC 9260 3.3.2); one of 20 bytes in place of too few. */
function initChunk(payload: Buffer): Buffer {
  const chunk = payload.length >= 4 ? Buffer.from(payload) : Buffer.alloc(20);
  chunk[0] = 1;
  return chunk;
}

export function packet(source: Address, destination: Address): PacketBuilder {
  return new PacketBuilder(source, destination);
}

/**
 * An ICMP error about a frame, port unreachable unless told otherwise: it quotes the network header and
 * what follows it, `length` bytes at most.
 */
export function icmpError(
  from: Address,
  to: Address,
  about: Buffer,
  { kind = 'port unreachable' as IcmpErrorKind, mtu = 1300, length = 548 } = {},
): PacketBuilder {
  const family = familyOf(from) === 'IPv4' ? 4 : 6;
  const [type, code] = ICMP_ERRORS[kind][family];
  const rest = kind === 'too big' ? mtu : 0;
  return packet(from, to)
    .icmp(type, code, rest)
    .payload(about.subarray(14, 14 + length));
}
