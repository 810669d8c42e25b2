/** UDP datagrams as the frames that they come in. */
import { FRAGMENT, packet, UDP } from './builder.ts';

/** Bytes of a piece behind the network header. */
const PIECE = 1400;

export interface Datagram {
  readonly from: string;
  readonly to: string;
  readonly sport: number;
  readonly dport: number;
  readonly data: Buffer;
  /** Identification; default 1. */
  readonly id?: number;
  /** Bytes of a piece behind the network header, a multiple of 8; default 1400. */
  readonly piece?: number;
  /** Source and destination; default those of the builder. */
  readonly macs?: readonly [string, string];
}

/** The frames of a datagram, the first piece first. */
export function pieces({ from, to, sport, dport, data, id = 1, piece = PIECE, macs }: Datagram): Buffer[] {
  const v6 = from.includes(':');
  // With the addresses and ports of the whole datagram: its checksum sums all pieces.
  const whole = packet(from, to)
    .udp(sport, dport)
    .payload(data)
    .build()
    .subarray(v6 ? 54 : 34);
  return Array.from({ length: Math.ceil(whole.length / piece) }, (_, i) => i * piece).map((offset) => {
    const more = offset + piece < whole.length;
    const built = packet(from, to).protocol(UDP, whole.subarray(offset, offset + piece));
    if (macs !== undefined) built.macs(...macs);
    if (!v6)
      return built
        .fragment(offset / 8, more)
        .identification(id)
        .build();
    const header = Buffer.alloc(8);
    header.writeUInt16BE(offset | (more ? 1 : 0), 2);
    header.writeUInt32BE(id, 4);
    return built.extension(FRAGMENT, header).build();
  });
}
