/** Datagrams in pieces: all go where the first one goes, and answers come back alike. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  FRONTEND_CLUSTER_IP,
  FRONTEND_EXTERNAL_IP,
  FRONTEND_SNAT_HOST,
  FRONTEND_SNAT_OUTSIDE,
  FRONTEND_SNAT_POD,
} from '../../maps-schema/gen/codecs.ts';
import { UDP } from '../support/packet/builder.ts';
import { addressBytes, checksumOf, pseudoHeader } from '../support/packet/checksum.ts';
import { BRIDGE, CLIENT, MACS, NODE, OTHER_POD, POD, REMOTE_POD } from '../support/packet/network.ts';
import { type Datagram, pieces } from '../support/packet/pieces.ts';
import { randomFrom } from '../support/packet/random.ts';
import { createPacketRig, type Outcome, type PacketRig, type RunOptions } from '../support/packet/rig.ts';
import { backend, frontend, remote, service } from '../support/packet/services.ts';

const HERE = { 4: '10.96.0.10', 6: 'fd00:10:96::a' } as const;
const STAGED = { 4: '10.96.0.11', 6: 'fd00:10:96::b' } as const;
const FAR = { 4: '10.96.0.12', 6: 'fd00:10:96::c' } as const;
/** Of a host elsewhere, and an external IP. */
const HOST = { 4: '198.51.100.77', 6: '2001:db8:9::77' } as const;
const FAMILIES = [4, 6] as const;
const SNAT = FRONTEND_CLUSTER_IP | FRONTEND_SNAT_POD | FRONTEND_SNAT_HOST | FRONTEND_SNAT_OUTSIDE;
let rig: PacketRig;

beforeAll(async () => {
  rig = await createPacketRig();
});
beforeEach(() => {
  rig.serve(
    ...FAMILIES.flatMap((family) => [
      service(`here-${family}`, {
        protocol: 'UDP',
        frontends: [frontend(HERE[family], 80)],
        cluster: [backend(POD[family]), backend(OTHER_POD[family])],
      }),
      service(`staged-${family}`, {
        protocol: 'UDP',
        frontends: [frontend(STAGED[family], 80, { flags: SNAT })],
        cluster: [backend(POD[family])],
      }),
      service(`host-${family}`, {
        protocol: 'UDP',
        frontends: [frontend(HOST[family], 80, { flags: FRONTEND_EXTERNAL_IP })],
        cluster: [remote(REMOTE_POD[family])],
      }),
      service(`far-${family}`, {
        protocol: 'UDP',
        frontends: [frontend(FAR[family], 80)],
        cluster: [remote(REMOTE_POD[family])],
      }),
    ]),
  );
});
afterAll(() => rig?.remove());

const DATA = randomFrom(99).bytes(3000);

/** Of a length that only a jumbo MTU lets through. */
const LONG_PIECE = 1600;

const piecesOf = (datagram: Omit<Datagram, 'data'>) => pieces({ ...datagram, data: DATA });
/** The second of three pieces that are too long to be held. */
const longPieceOf = (datagram: Omit<Datagram, 'data'>) =>
  pieces({ ...datagram, data: Buffer.alloc(4000, 'x'), piece: LONG_PIECE })[1] as Buffer;

/** The datagram that the pieces make up, `from port > to port` when all agree, its checksum and bytes checked. */
function joined(outcomes: readonly Outcome[]): string {
  const parsed = outcomes.map((out) => out.parsed());
  const ends = new Set(parsed.map(({ source, destination }) => `${source} > ${destination}`));
  expect(ends.size).toBe(1);
  const [{ source, destination }] = parsed as [(typeof parsed)[0]];
  const whole = Buffer.concat(parsed.map(({ l4 }) => l4));
  expect(whole.subarray(8).equals(DATA)).toBe(true);
  const pseudo = pseudoHeader(addressBytes(source), addressBytes(destination), UDP, whole.length);
  expect(checksumOf(pseudo, whole)).toBe(0);
  return `${source} ${whole.readUInt16BE(0)} > ${destination} ${whole.readUInt16BE(2)}`;
}

const through = (hook: 'ingress' | 'egress', frames: readonly Buffer[], options: RunOptions = {}) =>
  frames.map((frame) => rig[hook](Buffer.from(frame), options));
const framesOf = (outcomes: readonly Outcome[]) => outcomes.map(({ frame }) => frame);
const reasonsOf = (outcomes: readonly Outcome[]) => outcomes.flatMap(({ reasons }) => reasons);

describe.each([false, true])('summed by the device: %s', (summed) => {
  it.each(FAMILIES)('through the stack, there and back, IPv%i (R-99)', (family) => {
    const client = CLIENT[family];
    for (let id = 1; id <= 10; id++) {
      const sport = 40000 + id;
      const there = piecesOf({ from: client, to: HERE[family], sport, dport: 80, id });
      const out = through('ingress', there, { summed });
      expect(reasonsOf(out)).toEqual(['NEW_FLOW', 'FORWARDED', 'FORWARDED']);
      const line = joined(out);
      const pod = out[0]?.parsed().destination ?? '';
      expect([POD[family], OTHER_POD[family]]).toContain(pod);
      expect(line).toBe(`${client} ${sport} > ${pod} 8080`);
      const back = piecesOf({ from: pod, to: client, sport: 8080, dport: sport, id: 70000 + id });
      expect(joined(through('egress', back, { summed, from: 'pod0' }))).toBe(`${HERE[family]} 80 > ${client} ${sport}`);
    }
  });

  it.each(FAMILIES)('through both places of source NAT, there and back, IPv%i (R-99)', (family) => {
    const [client, pod, bridge] = [CLIENT[family], POD[family], BRIDGE[family]];
    const inward = through('ingress', piecesOf({ from: client, to: STAGED[family], sport: 31000, dport: 80 }), {
      summed,
    });
    const outward = through('egress', framesOf(inward), { device: 'pod0', from: 'node0', summed });
    const { sport } = outward[0]?.parsed() ?? { sport: 0 };
    expect(sport).not.toBe(31000);
    expect(joined(outward)).toBe(`${bridge} ${sport} > ${pod} 8080`);
    const answer = piecesOf({ from: pod, to: bridge, sport: 8080, dport: sport, id: 2 });
    const home = framesOf(through('ingress', answer, { device: 'pod0', summed }));
    expect(joined(through('egress', home, { from: 'pod0', summed }))).toBe(`${STAGED[family]} 80 > ${client} 31000`);
  });

  it.each(FAMILIES)('past the stack, there and back, IPv%i (R-99)', (family) => {
    const [client, far, node] = [CLIENT[family], REMOTE_POD[family], NODE[family]];
    const out = through('ingress', piecesOf({ from: client, to: FAR[family], sport: 31000, dport: 80 }), { summed });
    expect(out.map(({ verdict }) => verdict)).toEqual(['REDIRECT', 'REDIRECT', 'REDIRECT']);
    expect(out.map((one) => one.parsed().ttl)).toEqual([63, 63, 63]);
    expect(out[1]?.parsed()).toMatchObject({ smac: MACS.node, dmac: MACS.neighbour });
    const { sport } = out[0]?.parsed() ?? { sport: 0 };
    expect(joined(out)).toBe(`${node} ${sport} > ${far} 8080`);
    const back = through('ingress', piecesOf({ from: far, to: node, sport: 8080, dport: sport, id: 5 }), { summed });
    expect(back.map(({ verdict }) => verdict)).toEqual(['REDIRECT', 'REDIRECT', 'REDIRECT']);
    expect(joined(back)).toBe(`${FAR[family]} 80 > ${client} 31000`);
  });
});

describe.each(FAMILIES)('IPv%i: a later piece without its first (R-99)', (family) => {
  const datagram = { from: CLIENT[family], to: HERE[family], sport: 40000, dport: 80 };
  const untouched = (frame: Buffer) => {
    const out = rig.ingress(Buffer.from(frame));
    expect(out).toMatchObject({ verdict: 'NEXT', reasons: [] });
    expect(out.frame.equals(frame)).toBe(true);
  };
  const held = (frame: Buffer) =>
    expect(rig.ingress(Buffer.from(frame))).toMatchObject({ verdict: 'DROP', reasons: ['PIECE_HELD'] });
  /** To the stack as it is, and counted. */
  const passed = (frame: Buffer) => {
    const out = rig.ingress(Buffer.from(frame));
    expect(out).toMatchObject({ verdict: 'NEXT', reasons: ['PIECE_NOT_HELD'] });
    expect(out.frame.equals(frame)).toBe(true);
  };

  it('is held when it may be for a Service, as many as there is room for', () => {
    const one = { ...datagram, sport: 41000, id: 900 };
    const late = piecesOf(one)[1] as Buffer;
    for (let n = 0; n < 6; n++) held(late);
    expect(rig.ingress(Buffer.from(late))).toMatchObject({ verdict: 'DROP', reasons: ['DROP_PIECE'] });
  });

  it('is dropped when it is too long to be held, to an address of a Service', () => {
    const long = longPieceOf({ ...datagram, id: 902 });
    expect(rig.ingress(Buffer.from(long))).toMatchObject({ verdict: 'DROP', reasons: ['DROP_PIECE'] });
  });

  const toNode = { ...datagram, to: NODE[family], dport: 5353 };

  it("goes on when it is too long, to an address of the node: it may be a process's there", () => {
    passed(longPieceOf({ ...toNode, id: 903 }));
  });

  it('goes on when there is no room, to an address of the node', () => {
    const late = piecesOf({ ...toNode, sport: 41002, id: 904 })[1] as Buffer;
    for (let n = 0; n < 6; n++) held(late);
    passed(late);
  });

  it('goes on when there is no room, to an external IP: a host may have it', () => {
    const late = piecesOf({ ...datagram, to: HOST[family], dport: 5353, sport: 41003, id: 905 })[1] as Buffer;
    for (let n = 0; n < 6; n++) held(late);
    passed(late);
  });

  it.each([
    false,
    true,
  ])('leaves the first as it is, which comes when others are held (summed by the device: %s)', (summed) => {
    const one = { ...datagram, sport: summed ? 41011 : 41001, id: summed ? 911 : 901 };
    const [first, second, third] = piecesOf(one) as [Buffer, Buffer, Buffer];
    // One of another length takes the sum away from the packet.
    if (!summed) held(third);
    held(second);
    const out = rig.ingress(Buffer.from(first), { summed });
    expect(out.reasons).toEqual(['NEW_FLOW']);
    // What was held has been sent in again; the same pieces in order say where it goes.
    expect(joined([out, ...through('ingress', [second, third])])).toMatch(/ 8080$/);
  });

  it.each([
    ['another datagram', { id: 2 }],
    ['another client', { from: OTHER_POD[family] }],
    ['another destination', { to: STAGED[family] }],
  ])('is not of %s', (_, other) => {
    const [first, second] = piecesOf(datagram);
    rig.ingress(first as Buffer);
    held(piecesOf({ ...datagram, ...other })[1] as Buffer);
    expect(rig.ingress(second as Buffer).reasons).toEqual(['FORWARDED']);
  });

  it('goes by when it cannot be for a Service', () => {
    for (const frame of piecesOf({ ...datagram, to: POD[family], dport: 8080 }).reverse()) untouched(frame);
    expect([...rig.maps.fragments.entries()]).toEqual([]);
  });

  it('goes by behind its first, to an address for NodePorts that is not for one', () => {
    for (const frame of piecesOf({ ...datagram, to: NODE[family], dport: 5353, id: 77 })) untouched(frame);
  });

  it('goes by at the other hook', () => {
    const [first, second] = piecesOf(datagram);
    rig.ingress(first as Buffer);
    const out = rig.egress(Buffer.from(second as Buffer), { from: 'pod0' });
    expect(out.frame.equals(second as Buffer)).toBe(true);
  });
});
