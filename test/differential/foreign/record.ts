/** What a receiver saw, as a line that says all that must be the same, and no more. */
import { familyOf, readAddress } from '../../../src/model/address.ts';
import { FRAGMENT, ICMP, ICMPV6, TCP } from '../../support/packet/builder.ts';
import { type Parsed, parsePacket } from '../../support/packet/parser.ts';
import { type Conversation, pairName } from './conversation.ts';
import { markIn, TRANSPORTS } from './frames.ts';
import type { Delivered } from './wire.ts';
import type { FamilyNumber, HostName } from './world.ts';

/** Fixed by what is looked at, and when. */
export interface Scene {
  readonly finder: Finder;
  /** Addresses of stacks that make packets by themselves. */
  readonly own: ReadonlySet<string>;
  readonly round: number;
}

export interface Sight {
  readonly at: HostName;
  readonly conversation: number;
  /** When it was seen: which packet of the conversation was sent last. */
  readonly round: number;
  readonly line: string;
}

/** Bytes of a packet that a line shows. */
const SHOWN_BYTES = 28;

/** Finds the conversation of a packet: by its mark, its ports, or those that it quotes. */
export class Finder {
  readonly #byPorts = new Map<string, number>();

  constructor(conversations: readonly Conversation[]) {
    for (const { id, transport, family, aPort, bPort } of conversations)
      this.#byPorts.set(pairName(transport, family, aPort, bPort), id);
  }

  find(packet: Parsed): number | undefined {
    return markIn(packet.l4) ?? this.#ofPorts(packet) ?? this.#ofQuote(packet);
  }

  #ofPorts({ family, proto, l4 }: Pick<Parsed, 'family' | 'proto' | 'l4'>): number | undefined {
    const transport = TRANSPORTS[proto];
    if (transport === undefined || transport === 'icmp' || l4.length < 4) return undefined;
    return this.#byPorts.get(pairName(transport, family, l4.readUInt16BE(0), l4.readUInt16BE(2)));
  }

  #ofQuote({ family, proto, l4 }: Parsed): number | undefined {
    if ((proto !== ICMP && proto !== ICMPV6) || l4.length < 8 + 20) return undefined;
    try {
      return this.#ofPorts({ ...parsePacket(l4.subarray(8), false), family });
    } catch {
      return undefined;
    }
  }
}

/**
 * Does a stack make such packets by itself? It chooses their numbers at random, and leaves checksums to the device.
 * @param own addresses of such stacks
 */
function isMade({ source, proto, l4 }: Parsed, own: ReadonlySet<string>): boolean {
  if (!own.has(source)) return false;
  if (proto === TCP) return ((l4[13] ?? 0) & 4) !== 0;
  return proto === ICMP || proto === ICMPV6;
}

/** A stack says so when nobody answers for an address, seconds later; or has no route, now and then. */
function isChance({ family, proto, l4 }: Pick<Parsed, 'family' | 'proto' | 'l4'>): boolean {
  const [type = 0, code = 0] = l4;
  return family === 4 ? proto === ICMP && type === 3 && code <= 1 : proto === ICMPV6 && type === 1 && code === 3;
}

/** @param packet from its network header on @returns undefined for what is no IP */
function describe(ip: Buffer, own: ReadonlySet<string>): { parsed: Parsed; line: string } | undefined {
  let parsed: Parsed;
  try {
    parsed = parsePacket(ip);
  } catch {
    return undefined;
  }
  const { family, source, destination, ttl, proto, l4, wrong } = parsed;
  const made = isMade(parsed, own);
  const v4 = family === 4;
  const headers = Buffer.from(v4 ? ip.subarray(20, ((ip[0] ?? 0) & 15) * 4) : ip.subarray(40, ip.length - l4.length));
  // Who breaks a datagram into pieces again numbers it anew.
  const isPiece6 = !v4 && ip[6] === FRAGMENT && headers.length >= 8;
  if (isPiece6) headers.fill(0, 4, 8);
  const tos = v4 ? (ip[1] ?? 0) : (ip.readUInt16BE(0) >> 4) & 0xff;
  const id = v4 ? ip.readUInt16BE(4) : ip.readUInt32BE(0) & 0xfffff;
  const fragment = v4 ? ip.readUInt16BE(6) : 0;
  const transport = TRANSPORTS[proto] ?? `protocol ${proto}`;
  const isLater = v4 ? (fragment & 0x1fff) !== 0 : isPiece6 && (headers.readUInt16BE(2) & 0xfff8) !== 0;
  const ports = !isLater && ['tcp', 'udp', 'sctp'].includes(transport) && l4.length >= 4;
  const words = [
    ports ? `${source}:${l4.readUInt16BE(0)} > ${destination}:${l4.readUInt16BE(2)}` : `${source} > ${destination}`,
    transport,
    ...(transport === 'tcp' && !isLater && l4.length >= 14 ? [`flags ${flagLetters(l4[13] ?? 0)}`] : []),
    ...(transport === 'icmp' && !isLater ? [`type ${l4[0]} code ${l4[1]}`] : []),
    `ttl ${ttl}`,
    `tos ${tos}`,
    ...(made ? [] : [`id ${id}`]),
    ...(fragment === 0
      ? []
      : [
          `piece at ${(fragment & 0x1fff) * 8}${fragment & 0x2000 ? ' and more' : ''}${fragment & 0x4000 ? ' DF' : ''}`,
        ]),
    ...(headers.length > 0 ? [`options ${headers.toString('hex')}`] : []),
    `${l4.length} bytes ${made && proto === TCP ? withoutChecksum(l4) : digest(l4)}`,
    ...(wrong.length > 0 && !made ? [`WRONG CHECKSUM: ${wrong.join(', ')}`] : []),
  ];
  return { parsed, line: words.join(' ') };
}

function flagLetters(flags: number): string {
  const letters = [...'FSRP.U'].filter((_, bit) => flags & (1 << bit)).join('');
  return letters === '' ? 'none' : letters;
}

function withoutChecksum(l4: Buffer): string {
  const copy = Buffer.from(l4);
  copy.writeUInt16BE(0, 16);
  return digest(copy);
}

/** The first bytes, and a sum of all. */
function digest(bytes: Buffer): string {
  let sum = 0;
  for (const byte of bytes) sum = (Math.imul(sum, 31) + byte) >>> 0;
  return `${bytes.subarray(0, SHOWN_BYTES).toString('hex')}… ${sum.toString(16)}`;
}

/** @returns undefined for what is none of the conversations' */
export function sightOfFrame(at: HostName, frame: Buffer, scene: Scene): Sight | undefined {
  const type = frame.length > 14 ? frame.readUInt16BE(12) : 0;
  if (type !== 0x0800 && type !== 0x86dd) return undefined;
  return sight(at, frame.subarray(14), scene);
}

function sight(at: HostName, ip: Buffer, { finder, own, round }: Scene): Sight | undefined {
  const found = describe(ip, own);
  if (found === undefined || isChance(found.parsed)) return undefined;
  const conversation = finder.find(found.parsed);
  return conversation !== undefined ? { at, conversation, round, line: found.line } : undefined;
}

/** What a stack delivered; of an IPv6 packet only its source and its payload are known. */
export function sightOfDelivered(at: HostName, delivered: Delivered, scene: Scene): Sight | undefined {
  if (delivered.family === 4) return sight(at, delivered.packet, scene);
  const { proto, l4 } = delivered;
  const source = readAddress(delivered.source, 0);
  const family: FamilyNumber = familyOf(source) === 'IPv4' ? 4 : 6;
  const parsed = { family, source, destination: '', ttl: 0, trafficClass: 0, proto, sport: 0, dport: 0, l4, wrong: [] };
  const conversation = scene.finder.find(parsed);
  if (conversation === undefined || isChance(parsed)) return undefined;
  const transport = TRANSPORTS[proto] ?? `protocol ${proto}`;
  const ports = transport === 'icmp' || l4.length < 4 ? '' : ` ports ${l4.readUInt16BE(0)} > ${l4.readUInt16BE(2)}`;
  const { round } = scene;
  return {
    at,
    conversation,
    round,
    line: `delivered from ${source} ${transport}${ports} ${l4.length} bytes ${digest(l4)}`,
  };
}
