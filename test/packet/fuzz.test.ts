/**
 * Whatever comes, the programs give a verdict; and what comes with valid checksums never goes on with
 * wrong ones. `FUZZ_SEED=n` repeats the packets of a run, `FUZZ_RUNS=n` makes it longer.
 */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import {
  FRONTEND_CLUSTER_IP,
  FRONTEND_NODE_PORT,
  FRONTEND_SNAT_HOST,
  FRONTEND_SNAT_OUTSIDE,
  FRONTEND_SNAT_POD,
} from '../../maps-schema/gen/codecs.ts';
import { type PacketBuilder, packet } from '../support/packet/builder.ts';
import { BRIDGE, CLIENT, NODE, OTHER_POD, POD, REMOTE_POD } from '../support/packet/network.ts';
import { parsePacket } from '../support/packet/parser.ts';
import { type Random, randomFrom } from '../support/packet/random.ts';
import { createPacketRig, type PacketRig } from '../support/packet/rig.ts';
import { backend, frontend, remote, service } from '../support/packet/services.ts';

const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 1_000_000);
const RUNS = Number(process.env.FUZZ_RUNS ?? 4000);
const VIP = { 4: '10.96.0.10', 6: 'fd00:10:96::a' } as const;
const EMPTY = { 4: '10.96.0.11', 6: 'fd00:10:96::b' } as const;
const MASQUERADED = { 4: '10.96.0.12', 6: 'fd00:10:96::c' } as const;
const AWAY = { 4: '10.96.0.13', 6: 'fd00:10:96::d' } as const;
const SNAT = FRONTEND_SNAT_POD | FRONTEND_SNAT_HOST | FRONTEND_SNAT_OUTSIDE;
let rig: PacketRig;
let random: Random;

beforeAll(async () => {
  console.log(`fuzz: FUZZ_SEED=${SEED}`);
  rig = await createPacketRig();
  rig.serve(
    ...([4, 6] as const).flatMap((family) =>
      (['TCP', 'UDP'] as const).flatMap((protocol) => {
        const cluster = [backend(POD[family]), backend(OTHER_POD[family], { port: 80 }), remote(REMOTE_POD[family])];
        const named = (name: string, ...frontends: ReturnType<typeof frontend>[]) => ({
          name: `${name}-${protocol}-${family}`.toLowerCase(),
          protocol,
          frontends,
        });
        const one = named('mixed', frontend(VIP[family], 80), {
          ...frontend(family === 4 ? '0.0.0.0' : '::', 30080),
          flags: FRONTEND_NODE_PORT | SNAT,
        });
        const snat = named('snat', { ...frontend(MASQUERADED[family], 80), flags: FRONTEND_CLUSTER_IP | SNAT });
        const empty = named('empty', frontend(EMPTY[family], 80));
        const away = named('away', frontend(AWAY[family], 80));
        return [
          service(one.name, { ...one, cluster }),
          service(snat.name, { ...snat, cluster, affinitySeconds: 100 }),
          service(empty.name, empty),
          service(away.name, { ...away, cluster: [remote(REMOTE_POD[family])] }),
        ];
      }),
    ),
  );
});
beforeEach(() => {
  random = randomFrom(SEED);
  sent.length = 0;
});
afterAll(() => rig?.remove());

const SOURCES = [CLIENT, POD, OTHER_POD, REMOTE_POD, NODE, BRIDGE, VIP] as const;
const TARGETS = [VIP, VIP, AWAY, AWAY, EMPTY, MASQUERADED, NODE, POD, CLIENT, BRIDGE, REMOTE_POD] as const;

interface Ends {
  readonly family: 4 | 6;
  readonly source: string;
  readonly destination: string;
  readonly sport: number;
  readonly dport: number;
}

/** Packets of ours that went on, lately: some are sent again, some are answered. */
const sent: Ends[] = [];

function anyEnds(): Ends {
  const before = sent.length > 0 && !random.oneIn(3) ? random.pick(sent) : undefined;
  if (before !== undefined) {
    const { family, source, destination, sport, dport } = before;
    return random.oneIn(3) ? before : { family, source: destination, destination: source, sport: dport, dport: sport };
  }
  const family = random.pick([4, 6] as const);
  const port = () => random.pick([80, 80, 80, 30080, 8080, 40000, 40001, random.below(65536)]);
  return {
    family,
    source: random.pick(SOURCES)[family],
    destination: random.pick(TARGETS)[family],
    sport: port(),
    dport: port(),
  };
}

/** A packet with valid checksums, of any shape that the programs look at. */
function anyPacket(): Buffer {
  const { family, source, destination, sport, dport } = anyEnds();
  let built: PacketBuilder = packet(source, destination).ttl(random.pick([0, 1, 2, 64, 64, 255]));
  if (family === 4 && random.oneIn(5)) built = built.ipOptions(random.bytes(4 * (1 + random.below(10))));
  if (family === 4 && random.oneIn(10)) built = built.fragment(random.pick([0, 0, 1, 185]), random.oneIn(2));
  if (family === 6) {
    for (let i = random.pick([0, 0, 0, 1, 2, 4, 5]); i > 0; i--) {
      built = built.extension(random.pick([0, 43, 60]), random.bytes(8 * (1 + random.below(4))));
    }
  }
  if (random.oneIn(20)) built = built.ping();
  else if (random.oneIn(2)) built = built.udp(sport, dport, { noChecksum: family === 4 && random.oneIn(5) });
  else {
    const options = random.oneIn(3) ? random.bytes(4 * random.below(11)) : undefined;
    const flags = random.pick(['S', 'S.', '.', 'P.', 'F.', 'F', 'R', 'R.', '', 'SFRP.']);
    built = built.tcp(sport, dport, flags, { seq: random.below(2 ** 32), ack: random.below(2 ** 32), options });
  }
  return built.payload(random.bytes(random.pick([0, 0, 1, 2, 7, 100, 1400]))).build();
}

function carry(frame: Buffer) {
  const hook = random.pick(['ingress', 'ingress', 'egress'] as const);
  return rig[hook](frame, { device: random.pick(['node0', 'node0', 'pod0', 'strange']) });
}

function remember(ends: Ends): void {
  if (sent.length < 50) sent.push(ends);
  else sent[random.below(sent.length)] = ends;
}

/** @returns whether every checksum holds; false also for what cannot be parsed. */
function isValid(frame: Buffer): boolean {
  const type = frame.readUInt16BE(12);
  if (type !== (frame[14]! >> 4 === 4 ? 0x0800 : 0x86dd)) return false;
  try {
    return parsePacket(frame.subarray(14)).wrong.length === 0;
  } catch {
    return false;
  }
}

function expectStillValid(before: Buffer, run: number): void {
  const { verdict, frame, reasons } = carry(before);
  if (verdict === 'DROP') return;
  if (isValid(frame)) {
    if (reasons.length === 0) return;
    remember(parsePacket(before.subarray(14)));
    remember(parsePacket(frame.subarray(14)));
    return;
  }
  expect.fail(`run ${run} of FUZZ_SEED=${SEED}: ${before.toString('hex')} became ${frame.toString('hex')}`);
}

it('packets of every shape go on with valid checksums', () => {
  for (let run = 0; run < RUNS; run++) {
    const frame = anyPacket();
    expect(isValid(frame)).toBe(true);
    expectStillValid(frame, run);
  }
  expect(Object.keys(rig.counters())).toEqual(
    expect.arrayContaining(['NEW_FLOW', 'FORWARDED', 'REDIRECTED', 'REJECT_NO_BACKEND', 'TIME_EXCEEDED']),
  );
});

it('mutated packets get a verdict, and stay valid where they were', () => {
  for (let run = 0; run < RUNS; run++) {
    const frame = Buffer.from(anyPacket());
    const cut = random.oneIn(4) ? Math.max(14 + 40, random.below(frame.length)) : frame.length;
    for (let i = random.below(4); i > 0; i--)
      frame[12 + random.below(Math.min(90, frame.length - 12))] = random.below(256);
    const mutated = frame.subarray(0, cut);
    if (isValid(mutated)) expectStillValid(mutated, run);
    else carry(mutated);
  }
});

it('random bytes get a verdict', () => {
  for (let run = 0; run < RUNS; run++) {
    const frame = random.bytes(14 + 40 + random.below(200));
    frame.writeUInt16BE(random.pick([0x0800, 0x86dd, 0x0806, 0x8100]), 12);
    if (random.oneIn(2)) frame[14] = random.pick([0x45, 0x4f, 0x60]);
    const { verdict, frame: after } = carry(frame);
    expect([verdict, after.equals(frame)]).toEqual(['NEXT', true]);
  }
});
