/** Hundreds of thousands of connections through one node address, and a flood. Packets are patched in place. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { flowKey, snatBackend } from '../../maps-schema/gen/codecs.ts';
import { testRun } from '../../src/bpf/test-run.ts';
import { packet } from '../support/packet/builder.ts';
import { CLIENT, NODE, POD, REMOTE_POD } from '../support/packet/network.ts';
import { createPacketRig, type PacketRig } from '../support/packet/rig.ts';
import { backend, frontend, remote, service } from '../support/packet/services.ts';

const VIP = '203.0.113.10';
/** Byte offsets in an Ethernet frame with an IPv4 header of 20 bytes. */
const IP_CHECKSUM = 24;
const SADDR = 26;
const DADDR = 30;
const SPORT = 34;
const DPORT = 36;
const TC_ACT_REDIRECT = 7;
const IFINDEX = 40;

let rig: PacketRig;
let context: Buffer;

beforeAll(async () => {
  rig = await createPacketRig({ snatPortMin: 1024 }, 'tc', { flows: 32_768, halfOpenFlows: 2048 });
  context = Buffer.alloc(192);
  context.writeUInt32LE(rig.ifindex('node0'), IFINDEX);
});
afterAll(() => rig?.remove());

/** Sums of the headers are not looked at by these paths, so they are left as they are. */
const frame = (flags: string) => packet(CLIENT[4], VIP).tcp(40000, 80, flags).build();
const enter = (data: Buffer) => testRun(rig.program('ingress'), { data, context });

function from(data: Buffer, address: number, port: number): Buffer {
  data.writeUInt32BE(address >>> 0, SADDR);
  data.writeUInt16BE(port, SPORT);
  data.writeUInt16BE(0, IP_CHECKSUM);
  return data;
}

describe('source NAT at scale', () => {
  const CLIENTS = 10;
  const PORTS = 20_000;
  const BACKENDS = Array.from({ length: 10 }, (_, i) => remote(`10.1.2.${5 + i}`));

  it('200,000 connections through one node address to ten backends, each with a port of its own (R-41)', () => {
    rig.serve(service('big', { frontends: [frontend(VIP, 80)], cluster: BACKENDS }));
    const [syn, ack] = [frame('S'), frame('.')];
    const answer = packet(REMOTE_POD[4], NODE[4]).tcp(8080, 1, 'S.').build();
    const seen = new Set<number>();
    let kept = 0;
    let wrong = 0;
    for (let client = 0; client < CLIENTS; client++) {
      const address = 0xc6336400 + client; // 198.51.100.0/24
      for (let n = 0; n < PORTS; n++) {
        const port = 40_000 + n;
        const first = enter(from(syn, address, port));
        const [backend, translated] = [first.data.readUInt32BE(DADDR), first.data.readUInt16BE(SPORT)];
        if (first.retval !== TC_ACT_REDIRECT) wrong++;
        if (translated === port) kept++;
        // 10.1.2.x and a port: unique in 24 bits.
        seen.add((backend & 0xff) * 65_536 + translated);
        from(answer, backend, 8080).writeUInt16BE(translated, DPORT);
        const back = enter(answer);
        if (back.data.readUInt32BE(DADDR) !== address || back.data.readUInt16BE(DPORT) !== port) wrong++;
        enter(from(ack, address, port));
      }
    }
    expect(wrong).toBe(0);
    expect(seen.size).toBe(CLIENTS * PORTS);
    // The client's port is kept when it is free: ten clients use each port, ten backends take turns.
    expect(kept).toBeGreaterThan(CLIENTS * PORTS * 0.5);
    const drops = Object.keys(rig.counters()).filter((reason) => reason.startsWith('DROP'));
    expect(drops).toEqual([]);
  }, 120_000);

  it('all of them are there, and what collided is counted by backend', async () => {
    expect(await rig.sweep()).toMatchObject({ established: 2 * CLIENTS * PORTS, halfOpen: 0 });
    const counted = [...rig.maps.snatBackends.entries()].map(({ value }) => snatBackend.read(value, 0));
    expect(counted).toHaveLength(BACKENDS.length);
    for (const { collisions, exhausted } of counted) {
      expect(collisions).toBeGreaterThan(1000n);
      expect(exhausted).toBe(0n);
    }
  });
});

describe('a flood', () => {
  const SYNS = 1_000_000;

  it('of SYNs from random sources evicts no established connection and opens none (R-74)', async () => {
    rig.serve(
      service('flooded', { frontends: [frontend(VIP, 80)], cluster: [remote(REMOTE_POD[4]), backend(POD[4])] }),
    );
    const ESTABLISHED = 1000;
    const [syn, ack] = [frame('S'), frame('.')];
    const answerRemote = packet(REMOTE_POD[4], NODE[4]).tcp(8080, 1, 'S.').build();
    for (let port = 10_000; port < 10_000 + ESTABLISHED; port++) {
      const { data, retval } = enter(from(syn, 0xc6336409, port));
      if (retval === TC_ACT_REDIRECT) {
        answerRemote.writeUInt16BE(data.readUInt16BE(SPORT), DPORT);
        enter(answerRemote);
      } else rig.egress(packet(POD[4], CLIENT[4]).tcp(8080, port, 'S.').build());
      enter(from(ack, 0xc6336409, port));
    }
    const before = (await rig.sweep()).established;
    expect(before).toBe(2 * ESTABLISHED);
    const keys = () => new Set([...rig.maps.flows.entries()].map(({ key }) => key.toString('hex')));
    const established = keys();

    let state = 0x2545f491;
    for (let n = 0; n < SYNS; n++) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      enter(from(syn, 0x0b000000 | (state & 0xffffff), 1024 + (n % 60_000)));
    }
    expect(keys()).toEqual(established);
    const { halfOpen } = await rig.sweep();
    expect(halfOpen).toBeLessThanOrEqual(65_536);
    // And a newcomer still gets in.
    enter(from(syn, 0xc6336409, 30_000));
    const mine = [...rig.maps.halfOpenFlows.entries()].map(({ key }) => flowKey.read(key, 0));
    expect(mine.some(({ saddr, sport }) => saddr === CLIENT[4] && sport === 30_000)).toBe(true);
  }, 120_000);
});
