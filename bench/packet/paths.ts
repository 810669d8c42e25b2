/** The paths of a packet that are measured, and what has to be there before. */
import { type PacketBuilder, packet } from '../../test/support/packet/builder.ts';
import { CLIENT, NODE, POD, REMOTE_POD } from '../../test/support/packet/network.ts';
import type { PacketRig } from '../../test/support/packet/rig.ts';
import { backend, frontend, remote, service } from '../../test/support/packet/services.ts';
import { GENEVE_PORT } from '../../test/support/packet/tunnel.ts';

export type Family = 4 | 6;
export const FAMILIES: readonly Family[] = [4, 6];
/** Backends elsewhere, and on this node. */
const FAR = { 4: '10.96.0.10', 6: 'fd00:10:96::a' } as const;
const NEAR = { 4: '10.96.0.11', 6: 'fd00:10:96::b' } as const;
const PEER = { 4: '192.0.2.2', 6: '2001:db8:1::2' } as const;
const STRANGER = { 4: '203.0.113.7', 6: '2001:db8:77::7' } as const;
const CLIENT_PORT = 40000;

type Protocol = 'TCP' | 'UDP';
type ProgramName = 'xdp_ingress' | 'ingress' | 'egress';

export interface Path {
  readonly name: string;
  readonly program: ProgramName;
  readonly frame: (family: Family) => Buffer;
  /** Of a packet that is forwarded and leaves by this hook: it came in by pod0. */
  readonly forwarded?: boolean;
  /** Each run begins a flow. */
  readonly fresh?: boolean;
  /** The verdict that shows that the path was taken. */
  readonly verdict: number;
  /** What the path may cost, ns. */
  readonly limit?: number;
}

const XDP_PASS = 2;
const XDP_TX = 3;
const TC_NEXT = 4294967295;
const TC_REDIRECT = 7;
const LIMITS = { xdp: 40, tc: 70, fresh: 300, otherGeneve: 20 } as const;

/** The same for a frame that is shorter. */
function padded(frame: Buffer): Buffer {
  return Buffer.concat([frame, Buffer.alloc(80 - frame.length)]);
}

/** 80 bytes, whatever the headers: what the wrapper restores. */
function sized(family: Family, protocol: Protocol, built: PacketBuilder): Buffer {
  const headers = 14 + (family === 4 ? 20 : 40) + (protocol === 'TCP' ? 20 : 8);
  return built.payload(Buffer.alloc(80 - headers, 'x')).build();
}

function segment(
  family: Family,
  from: string,
  to: string,
  sport: number,
  dport: number,
  { protocol = 'TCP', flags = '.' }: { protocol?: Protocol; flags?: string } = {},
): Buffer {
  const start = packet(from, to);
  return sized(family, protocol, protocol === 'TCP' ? start.tcp(sport, dport, flags) : start.udp(sport, dport));
}

type More = Parameters<typeof segment>[5];
const there =
  (to: Readonly<Record<Family, string>>, more?: More, port = CLIENT_PORT) =>
  (family: Family) =>
    segment(family, CLIENT[family], to[family], port, 80, more);
const fromFar = (more?: More) => (family: Family) =>
  segment(family, REMOTE_POD[family], NODE[family], 8080, CLIENT_PORT, more);
const fromNear = (more?: More) => (family: Family) =>
  segment(family, POD[family], CLIENT[family], 8080, CLIENT_PORT, more);

/** Of an overlay between the nodes: not ours, but by the port of ours. */
const otherGeneve = (family: Family) =>
  packet(PEER[family], NODE[family])
    .udp(50_000, GENEVE_PORT, { noChecksum: true })
    .payload(Buffer.concat([Buffer.from([1, 0, 0x65, 0x58, 0, 0, 5, 0, 1, 2, 0x80, 0]), Buffer.alloc(6)]))
    .build();

const UDP = { protocol: 'UDP' } as const;
const SYN = { flags: 'S' } as const;

const strangers = (program: ProgramName, verdict: number, forwarded?: boolean): Path[] =>
  ([undefined, SYN, UDP] as const).map((more) => ({
    name: `none of ours: ${more === undefined ? 'TCP' : more === SYN ? 'TCP SYN' : 'UDP'}`,
    program,
    frame: there(STRANGER, more),
    verdict,
    ...(forwarded === undefined ? {} : { forwarded }),
  }));

export const PATHS: readonly Path[] = [
  ...(['xdp_ingress', 'ingress'] as const).flatMap((program): Path[] => {
    const sent = program === 'ingress' ? TC_REDIRECT : XDP_TX;
    const limit = program === 'ingress' ? LIMITS.tc : LIMITS.xdp;
    return [
      { name: 'established, sent on', program, frame: there(FAR), verdict: sent, limit },
      { name: 'established UDP, sent on', program, frame: there(FAR, UDP), verdict: sent, limit },
      { name: 'its answer', program, frame: fromFar(), verdict: sent, limit },
      {
        name: 'new flow, source NAT, sent on',
        program,
        frame: there(FAR, SYN, 1024),
        verdict: sent,
        fresh: true,
        limit: LIMITS.fresh,
      },
      ...strangers(program, program === 'ingress' ? TC_NEXT : XDP_PASS),
    ];
  }),
  {
    name: 'established, backend here',
    program: 'ingress',
    frame: there(NEAR),
    verdict: TC_NEXT,
    limit: LIMITS.tc,
  },
  {
    name: 'new flow, backend here',
    program: 'ingress',
    frame: there(NEAR, SYN, 1024),
    verdict: TC_NEXT,
    fresh: true,
    limit: LIMITS.fresh,
  },
  {
    name: 'answer of a backend here',
    program: 'egress',
    frame: fromNear(),
    forwarded: true,
    verdict: TC_NEXT,
    limit: LIMITS.tc,
  },
  ...strangers('egress', TC_NEXT, true),
  {
    name: 'Geneve of an overlay',
    program: 'ingress',
    frame: (family) => padded(otherGeneve(family)),
    verdict: TC_NEXT,
    limit: LIMITS.otherGeneve,
  },
];

/** What the path of Geneve needs to know. */
export const PATH_KNOBS = { genevePort: GENEVE_PORT, nodeAddress4: NODE[4], nodeAddress6: NODE[6] } as const;

/** Services for every path; forgets all flows. */
export function serve(rig: PacketRig): void {
  rig.serve(
    ...FAMILIES.flatMap((family) =>
      (['TCP', 'UDP'] as const).flatMap((protocol) => [
        service(`far-${protocol}-${family}`.toLowerCase(), {
          protocol,
          frontends: [frontend(FAR[family], 80)],
          cluster: [remote(REMOTE_POD[family])],
        }),
        service(`near-${protocol}-${family}`.toLowerCase(), {
          protocol,
          frontends: [frontend(NEAR[family], 80)],
          cluster: [backend(POD[family])],
        }),
      ]),
    ),
  );
}

/** Both sides of each connection have spoken, twice: their flows are established, and know their next hops. */
export function establish(rig: PacketRig, family: Family): void {
  const answered = { flags: 'S.' } as const;
  for (const turn of [1, 2]) {
    for (const protocol of ['TCP', 'UDP'] as const) {
      const first = turn === 1 && protocol === 'TCP';
      const out = { protocol, ...(first ? SYN : {}) };
      const back = { protocol, ...(first ? answered : {}) };
      rig.ingress(there(FAR, out)(family), { way: 'tc' });
      rig.ingress(fromFar(back)(family), { way: 'tc' });
      rig.ingress(there(NEAR, out)(family), { way: 'tc' });
      rig.egress(fromNear(back)(family), { from: 'pod0' });
    }
  }
  if (!rig.flows('flows').some(({ key }) => key.daddr === FAR[family]))
    throw new Error(`establish connections of IPv${family}: none got into the table of flows`);
}
