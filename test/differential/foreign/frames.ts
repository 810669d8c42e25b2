/** From a packet of a conversation to the frames that its sender puts on the wire. */
import { familyOf } from '../../../src/model/address.ts';
import {
  FRAGMENT,
  ICMP,
  ICMPV6,
  icmpError,
  type PacketBuilder,
  packet,
  SCTP,
  TCP,
  UDP,
} from '../../support/packet/builder.ts';
import { checksumOf } from '../../support/packet/checksum.ts';
import type { Conversation, Packet } from './conversation.ts';
import type { HostName, RawHost, World } from './world.ts';

/** Four NOPs; a record route with room for three addresses. */
const IP_OPTIONS = {
  none: Buffer.alloc(0),
  padding: Buffer.alloc(4, 1),
  'record route': Buffer.from([7, 15, 4, ...Array(12).fill(0), 0]),
};
/** What a header of options holds: PadN of six bytes. A routing header without segments left. */
const PADDING = Buffer.from([0, 0, 1, 4, 0, 0, 0, 0]);
const ROUTING = Buffer.from([0, 0, 4, 0, 0, 0, 0, 0]);
const MSS_AND_SACK = Buffer.from([2, 4, 5, 0xb4, 1, 1, 4, 2]);
const TOO_BIG_MTU = 1300;

/** By this every packet and every error about it is known again: `~0042~`, over and over. */
export function payloadOf({ id }: Conversation, bytes: number): Buffer {
  return Buffer.alloc(bytes, `~${String(id).padStart(4, '0')}~`);
}

/** The conversation that a packet belongs to, from anything that is left of its payload. */
export function markIn(bytes: Buffer): number | undefined {
  const found = /~(\d{4})~/.exec(bytes.toString('latin1'));
  return found ? Number(found[1]) : undefined;
}

/** Sequence numbers begin here, by end; both count what they have sent. */
const FIRST_SEQUENCE = { a: 1_000_000, b: 5_000_000 };

function sequences(conversation: Conversation, until: number): Record<'a' | 'b', number> {
  const next = { ...FIRST_SEQUENCE };
  for (const { by, what } of conversation.packets.slice(0, until)) {
    if (what.kind !== 'tcp') continue;
    next[by] += what.bytes + (/[SF]/.test(what.flags) ? 1 : 0);
  }
  return next;
}

export interface Sending {
  readonly from: RawHost;
  /** In the order they are sent. */
  readonly frames: readonly Buffer[];
}

interface Whole extends Sending {
  /** Pieces that were left out. They come when all is over: no stack keeps the others for the next run. */
  readonly late: readonly Buffer[];
}

/** @returns frames of the packet in a round of its conversation */
export function framesOf(world: World, conversation: Conversation, round: number): Whole {
  const sent = conversation.packets[round];
  if (sent === undefined) return { from: conversation.a, frames: [], late: [] };
  const { a, b, family } = conversation;
  const from = (sent.by === 'a' ? a : b) as RawHost;
  const to = sent.by === 'a' ? b : a;
  const source = sent.source ?? world.address(from, family);
  const whole = withNetwork(
    transport(conversation, sent, round, source, destination(world, from, to, sent, family)),
    sent,
    family,
  )
    .macs(...world.macs(from, to))
    .build();
  const toned = (frames: readonly Buffer[]) => frames.map((frame) => withTos(frame, sent.tos ?? 0));
  if (sent.pieces === undefined) return { from, frames: toned([whole]), late: [] };
  const { order, size } = sent.pieces;
  const pieces = toned(cut(whole, size, conversation.id * 64 + round));
  return {
    from,
    frames: order.flatMap((n) => pieces[n] ?? []),
    late: pieces.filter((_, n) => !order.includes(n)),
  };
}

/** Answers go where the packets came from: to what a pod's address was masqueraded to. */
function destination(world: World, from: HostName, to: HostName, { by }: Packet, family: 4 | 6): string {
  return by === 'b' ? world.seen(to, from, family) : world.address(to, family);
}

function transport(
  conversation: Conversation,
  sent: Packet,
  round: number,
  source: string,
  destination: string,
): PacketBuilder {
  const { aPort, bPort } = conversation;
  const [sport, dport] = sent.by === 'a' ? [aPort, bPort] : [bPort, aPort];
  const building = packet(source, destination);
  const { what } = sent;
  const payload = 'bytes' in what ? payloadOf(conversation, what.bytes) : Buffer.alloc(0);
  switch (what.kind) {
    case 'tcp': {
      const next = sequences(conversation, round);
      const ack = what.flags.includes('.') ? next[sent.by === 'a' ? 'b' : 'a'] : 0;
      const options = what.options === true ? { options: MSS_AND_SACK } : {};
      return building.tcp(sport, dport, what.flags, { seq: next[sent.by], ack, ...options }).payload(payload);
    }
    case 'udp':
      return building.udp(sport, dport, { noChecksum: what.noChecksum === true }).payload(payload);
    case 'sctp':
      return building.sctp(sport, dport, { init: false }).payload(payload);
    case 'echo':
      return sent.by === 'a'
        ? building.ping(aPort).payload(payload)
        : building.icmp(familyOf(source) === 'IPv4' ? 0 : 129, 0, ((aPort << 16) | 1) >>> 0).payload(payload);
    case 'error': {
      // What came from the other end, as this one saw it.
      const quoted = packet(destination, source);
      if (conversation.transport === 'tcp')
        quoted.tcp(dport, sport, 'P.', { seq: FIRST_SEQUENCE[sent.by === 'a' ? 'b' : 'a'] + 1 });
      else quoted.udp(dport, sport);
      return icmpError(source, destination, quoted.payload(payloadOf(conversation, 200)).build(), {
        kind: what.about,
        mtu: TOO_BIG_MTU,
        length: what.quoted,
      });
    }
    case 'protocol':
      return building.protocol(what.number, payload);
    case 'stump':
      return building.protocol(
        what.number,
        Buffer.concat([Buffer.from([sport >> 8, sport, dport >> 8, dport]), payload]).subarray(0, what.bytes),
      );
  }
}

function withNetwork(building: PacketBuilder, { ttl, options }: Packet, family: 4 | 6): PacketBuilder {
  if (ttl !== undefined) building.ttl(ttl);
  if (options === undefined) return building;
  if (typeof options === 'string') return family === 4 ? building.ipOptions(IP_OPTIONS[options]) : building;
  for (const number of options) building.extension(number, number === 43 ? ROUTING : PADDING);
  return building;
}

/** Sets the byte of DSCP and ECN. */
function withTos(frame: Buffer, tos: number): Buffer {
  const copy = Buffer.from(frame);
  if (copy.readUInt16BE(12) === 0x0800) {
    const header = copy.subarray(14, 14 + ((copy[14] ?? 0) & 15) * 4);
    header[1] = tos;
    header.writeUInt16BE(0, 10);
    header.writeUInt16BE(checksumOf(header), 10);
  } else copy.writeUInt16BE(0x6000 | (tos << 4), 14);
  return copy;
}

/** The pieces of a frame without options or extension headers. @param id of the datagram, the same in every run */
function cut(frame: Buffer, size: number, id: number): Buffer[] {
  const v4 = frame.readUInt16BE(12) === 0x0800;
  const at = 14 + (v4 ? 20 : 40);
  const data = frame.subarray(at);
  const count = Math.ceil(data.length / size);
  return Array.from({ length: count }, (_, n) => {
    const part = data.subarray(n * size, (n + 1) * size);
    const more = n < count - 1 ? 1 : 0;
    const head = Buffer.from(frame.subarray(0, at));
    if (v4) {
      head.writeUInt16BE(20 + part.length, 16);
      head.writeUInt16BE(id, 18);
      head.writeUInt16BE((more << 13) | ((n * size) / 8), 20);
      return Buffer.concat([head, part]);
    }
    const fragment = Buffer.alloc(8);
    fragment[0] = head[20] ?? 0;
    fragment.writeUInt16BE((n * size) | more, 2);
    fragment.writeUInt32BE(0x5_0000 + id, 4);
    head[20] = FRAGMENT;
    head.writeUInt16BE(8 + part.length, 18);
    return Buffer.concat([head, fragment, part]);
  });
}

export const TRANSPORTS: Readonly<Record<number, string>> = {
  [TCP]: 'tcp',
  [UDP]: 'udp',
  [SCTP]: 'sctp',
  [ICMP]: 'icmp',
  [ICMPV6]: 'icmp',
};
