/**
 * Foreign traffic as plain data: conversations that are nobody's Service, and packets that belong to none. No packet
 * that could begin a conversation is addressed to a frontend; answers are, where the other end has its number.
 */
import { type Random, randomFrom } from '../../support/packet/random.ts';
import { BACKEND_PORT, NODE_PORTS, OWN_PORT, REMOTE_PORT } from './services.ts';
import { FAMILIES, type FamilyNumber, type HostName, isPod, PAIRS, type RawHost } from './world.ts';

export type Transport = 'tcp' | 'udp' | 'sctp' | 'icmp';

/** Of IP alone, and any packet may have them. */
export interface Network {
  readonly ttl?: number;
  /** The byte of DSCP and ECN. */
  readonly tos?: number;
  /** IPv4 options, or IPv6 extension headers by number. */
  readonly options?: 'none' | 'padding' | 'record route' | readonly number[];
  /** Sizes of the pieces of its IP payload, multiples of 8 but the last; the order in which those that are sent go. */
  readonly pieces?: { readonly size: number; readonly order: readonly number[] };
  /** A source that is not the sender's. */
  readonly source?: string;
}

export interface Packet extends Network {
  /** Which end sends it. */
  readonly by: 'a' | 'b';
  readonly what:
    | { readonly kind: 'tcp'; readonly flags: string; readonly bytes: number; readonly options?: boolean }
    | { readonly kind: 'udp'; readonly bytes: number; readonly noChecksum?: boolean }
    | { readonly kind: 'sctp'; readonly bytes: number }
    | { readonly kind: 'echo'; readonly bytes: number }
    /** About what the other end sent first, or would have sent. */
    | {
        readonly kind: 'error';
        readonly about: 'port unreachable' | 'too big' | 'time exceeded';
        readonly quoted: number;
      }
    | { readonly kind: 'protocol'; readonly number: number; readonly bytes: number }
    /** A transport header that ends too early. */
    | { readonly kind: 'stump'; readonly number: number; readonly bytes: number };
}

export interface Conversation {
  readonly id: number;
  readonly family: FamilyNumber;
  readonly a: RawHost;
  readonly b: HostName;
  readonly transport: Transport;
  /** Also the identifier of an echo. */
  readonly aPort: number;
  readonly bPort: number;
  /** One a round. */
  readonly packets: readonly Packet[];
}

const KNOWN_PORTS = [22, 53, 80, 443, 7778, 9090, 10250];
/** Not of any Service, of no list above, and below those that the kernel chooses itself. */
const OTHER_PORTS = { first: 11_000, count: 18_000 };
/** GRE, ESP, AH, OSPF, IPIP, IPv6 in IP, UDP-Lite, one that nobody has. */
const PROTOCOLS = [47, 50, 51, 89, 4, 41, 136, 253];
const FLAGS = ['S', 'S.', '.', 'P.', 'F.', 'F', 'R', 'R.', 'SF', 'FP', ''];
const EXTENSIONS = [0, 43, 60];

/** Addresses that a spoofing host takes, by family; some cannot be on a wire. */
const SPOOFED: Readonly<Record<FamilyNumber, readonly string[]>> = {
  4: [
    '198.18.7.7',
    '172.31.0.99',
    '10.244.1.99',
    '10.244.2.9',
    '172.30.0.11',
    '127.0.0.1',
    '0.0.0.0',
    '224.0.0.1',
    '255.255.255.255',
    '10.96.1.10',
  ],
  6: [
    '2001:db8:7::7',
    'fd31::99',
    'fd44:0:0:1::99',
    'fd44:0:0:2::9',
    'fd30::b',
    '::1',
    '::',
    'ff02::1',
    'fe80::99',
    'fd96::1:a',
  ],
};

/** What packets of a conversation have in common, both ways. */
export function pairName(transport: string, family: FamilyNumber, one: number, other: number): string {
  return `${transport} ${family} ${Math.min(one, other)} ${Math.max(one, other)}`;
}

class Generator {
  readonly #random: Random;
  readonly #taken = new Set<string>();

  constructor(seed: number) {
    this.#random = randomFrom(seed);
  }

  conversation(id: number): Conversation {
    const random = this.#random;
    const family = random.pick(FAMILIES);
    const [a, b] = random.pick(PAIRS);
    const transport = random.pick(['tcp', 'tcp', 'udp', 'udp', 'udp', 'sctp', 'icmp'] as const);
    const [aPort, bPort] = this.#ports(transport, a, b, family);
    const base = { id, family, a, b, transport, aPort, bPort };
    return { ...base, packets: this.#packets(base) };
  }

  #otherPort(): number {
    return OTHER_PORTS.first + this.#random.below(OTHER_PORTS.count);
  }

  /** That of the one who begins is the number of a frontend, more often than not; no two conversations have the same. */
  #ports(transport: Transport, a: RawHost, b: HostName, family: FamilyNumber): [number, number] {
    const random = this.#random;
    const frontends = [...NODE_PORTS, ...(a === 'outside1' || a === 'node2' ? [REMOTE_PORT, REMOTE_PORT] : [OWN_PORT])];
    for (;;) {
      const aPort = random.oneIn(3) ? this.#otherPort() : random.pick(frontends);
      const elsewhere = [...KNOWN_PORTS, BACKEND_PORT, random.pick(NODE_PORTS), this.#otherPort()];
      const bPort = b === 'node1' ? this.#otherPort() : random.pick(elsewhere);
      const name = `${transport} ${family} ${aPort}`;
      const pair = pairName(transport, family, aPort, bPort);
      if (aPort === bPort || this.#taken.has(name) || this.#taken.has(pair)) continue;
      this.#taken.add(name).add(pair);
      return [aPort, bPort];
    }
  }

  /**
   * @param arrives the packet must not be lost: netfilter chooses a port at random for one whose answer came before it
   */
  #network(family: FamilyNumber, arrives = false): Network {
    const random = this.#random;
    return {
      ...(random.oneIn(3) && { tos: random.below(256) }),
      ...(random.oneIn(10) && { ttl: arrives ? 255 : random.pick([1, 2, 3, 255]) }),
      ...(random.oneIn(8) && {
        options: family === 4 ? random.pick(['padding', 'record route'] as const) : this.#extensions(),
      }),
    };
  }

  #extensions(): number[] {
    return Array.from({ length: 1 + this.#random.below(6) }, (_, i) => (i === 0 ? this.#random.pick(EXTENSIONS) : 60));
  }

  /** A datagram in pieces: some out of order, some twice, sometimes one is missing, which is the first. */
  #pieces(bytes: number, arrives: boolean): Pick<Network, 'pieces'> {
    const random = this.#random;
    const size = random.pick([8, 64, 256, 512]) * (bytes > 2000 ? 2 : 1);
    const count = Math.ceil((bytes + 8) / size);
    if (count < 2 || count > 16) return {};
    const order = Array.from({ length: count }, (_, i) => i);
    const shape = random.below(arrives ? 3 : 4);
    if (shape === 1) order.reverse();
    if (shape === 2) order.push(...order.splice(0, 1));
    if (shape === 3) order.splice(0, 1);
    return { pieces: { size, order } };
  }

  #packets(conversation: Omit<Conversation, 'packets'>): Packet[] {
    const random = this.#random;
    const { family, a, b, transport } = conversation;
    const stray = random.below(10);
    if (stray === 0) return [this.#strange(family)];
    // An answer to a masqueraded packet that was never tracked is for the node itself.
    if (stray === 1 && transport === 'tcp') {
      const flags = random.pick(FLAGS);
      return [{ by: 'a', what: { kind: 'tcp', flags, bytes: random.below(100) }, ...this.#network(family) }];
    }
    if (stray === 2)
      return [{ ...this.#first(transport, family), ...this.#network(family), source: random.pick(SPOOFED[family]) }];
    const answers = b !== 'node1' && !(transport === 'sctp' && isPod(a));
    const only = (packets: readonly Packet[]) => packets.filter(({ by }) => by === 'a' || answers);
    if (transport === 'tcp') return only(this.#tcp(family));
    return only(this.#datagrams(transport, family));
  }

  #first(transport: Transport, family: FamilyNumber): Packet {
    const bytes = this.#random.below(200);
    if (transport === 'tcp') return { by: 'a', what: { kind: 'tcp', flags: 'S', bytes: 0 } };
    if (transport === 'icmp') return { by: 'a', what: { kind: 'echo', bytes } };
    if (transport === 'sctp') return { by: 'a', what: { kind: 'sctp', bytes } };
    const noChecksum = family === 4 && this.#random.oneIn(8);
    return { by: 'a', what: { kind: 'udp', bytes, ...(noChecksum && { noChecksum }) } };
  }

  #strange(family: FamilyNumber): Packet {
    const random = this.#random;
    const bytes = 8 + random.below(64);
    const network = this.#network(family);
    switch (random.below(3)) {
      case 0:
        return { by: 'a', what: { kind: 'protocol', number: random.pick(PROTOCOLS), bytes }, ...network };
      case 1:
        return {
          by: 'a',
          what: { kind: 'stump', number: random.pick([6, 17, 132, family === 4 ? 1 : 58]), bytes: 4 + random.below(4) },
          ...network,
        };
      default:
        return {
          by: 'a',
          what: {
            kind: 'error',
            about: random.pick(['port unreachable', 'too big', 'time exceeded'] as const),
            quoted: this.#quoted(family),
          },
          ...network,
        };
    }
  }

  /** Bytes: what routers of old quote, and more. */
  #quoted(family: FamilyNumber): number {
    return (family === 4 ? 20 : 40) + this.#random.pick([8, 20, 128]);
  }

  #tcp(family: FamilyNumber): Packet[] {
    const random = this.#random;
    const segment = (by: 'a' | 'b', flags: string, bytes = 0, arrives = false): Packet => ({
      by,
      what: { kind: 'tcp', flags, bytes, ...(random.oneIn(3) && { options: true }) },
      ...this.#network(family, arrives),
    });
    const end = random.pick(['R', 'R.', 'F.', 'none'] as const);
    return [
      segment('a', 'S', 0, true),
      segment('b', random.oneIn(8) ? 'R.' : 'S.'),
      segment('a', '.'),
      segment('a', 'P.', random.below(400)),
      segment('b', 'P.', random.below(400)),
      ...(random.oneIn(4) ? [this.#error('b', family)] : []),
      ...(end === 'none' ? [] : [segment(random.pick(['a', 'b'] as const), end)]),
      segment('a', '.'),
      segment('b', '.'),
    ];
  }

  #datagrams(transport: Exclude<Transport, 'tcp'>, family: FamilyNumber): Packet[] {
    const random = this.#random;
    return Array.from({ length: 2 + random.below(5) }, (_, i): Packet => {
      const by = i % 2 === 0 || random.oneIn(4) ? 'a' : 'b';
      if (i > 0 && transport === 'udp' && random.oneIn(5)) return this.#error(by, family);
      const large = transport === 'udp' && random.oneIn(3);
      const bytes = large ? random.pick([300, 1200, 4000]) : random.below(600);
      const first = this.#first(transport, family);
      const what = first.what.kind === 'tcp' ? first.what : { ...first.what, bytes };
      // What is longer than a frame comes in pieces.
      const pieces = large || (transport === 'icmp' && random.oneIn(4)) ? this.#pieces(bytes, i === 0) : {};
      if (bytes > 1400 && pieces.pieces === undefined) return { ...first, by };
      return {
        what,
        by,
        ...(pieces.pieces === undefined ? this.#network(family, i === 0) : { tos: random.below(256) }),
        ...pieces,
      } as Packet;
    });
  }

  #error(by: 'a' | 'b', family: FamilyNumber): Packet {
    const about = this.#random.pick(['port unreachable', 'too big', 'time exceeded'] as const);
    return { by, what: { kind: 'error', about, quoted: this.#quoted(family) } };
  }
}

/** @returns so many conversations; the same for the same seed */
export function generate(seed: number, count: number): Conversation[] {
  const generator = new Generator(seed);
  return Array.from({ length: count }, (_, id) => generator.conversation(id));
}
