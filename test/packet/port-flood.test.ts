/** Spoofed SYNs towards one backend: their ports serve who is there, when others run short. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { packet } from '../support/packet/builder.ts';
import { CLIENT, NODE, REMOTE_POD } from '../support/packet/network.ts';
import { createPacketRig, type PacketRig } from '../support/packet/rig.ts';
import { frontend, remote, service } from '../support/packet/services.ts';

const VIP = '10.96.0.1';
const PORTS = 200;
const JIFFIES_PER_SECOND = 1000;
let rig: PacketRig;

beforeAll(async () => {
  const range = { snatPortMin: 50_000, snatPortMax: 50_000 + PORTS - 1 };
  rig = await createPacketRig(range, 'tc', { flows: 1024, halfOpenFlows: 1024 });
  rig.serve(service('web', { frontends: [frontend(VIP, 80)], cluster: [remote(REMOTE_POD[4])] }));
});
afterAll(() => rig?.remove());

const send = (from: string, sport: number, flags: string) =>
  rig.ingress(packet(from, VIP).tcp(sport, 80, flags).build());
const answer = (port: number) => rig.ingress(packet(REMOTE_POD[4], NODE[4]).tcp(8080, port, 'S.').build());
const older = (seconds: (i: number) => number) => {
  for (const [i, { key, flow }] of rig.flows('halfOpenFlows').entries()) {
    const ago = (stamp: number) => (stamp - seconds(i) * JIFFIES_PER_SECOND) >>> 0;
    rig.putFlow('halfOpenFlows', { key, flow: { ...flow, lastSeen: ago(flow.lastSeen), created: ago(flow.created) } });
  }
};

/** Takes every port, and those that clients would have first: their own. The backend answers each SYN. */
function flood(network: string, own: readonly number[]): void {
  for (const [i, port] of [...own, ...Array<number>(8 * PORTS).fill(40_100)].entries()) {
    const out = send(`${network}.${1 + (i % 250)}`, port, 'S');
    if (out.reasons.includes('NEW_FLOW')) answer(out.parsed().sport);
  }
}

it('a client that is there finds a port among those of clients that never spoke again', () => {
  const before = 40_001;
  const mine = send(CLIENT[4], before, 'S').parsed().sport;
  answer(mine);
  send(CLIENT[4], before, '.');
  const clients = Array.from({ length: 60 }, (_, i) => 41_000 + i);
  flood('198.18.0', clients);
  // All are young: nobody can tell who is there.
  expect(send(CLIENT[4], 40_100, 'S').reasons).toContain('DROP_NO_SNAT_PORT');

  // Two thirds have said nothing for two seconds, as it would be in a flood that goes on.
  older((i) => (i % 3 === 0 ? 0 : 2));
  for (const port of clients) {
    let out = send(CLIENT[4], port, 'S');
    for (let again = 0; again < 4 && !out.reasons.includes('NEW_FLOW'); again++) out = send(CLIENT[4], port, 'S');
    expect(out.reasons).toContain('NEW_FLOW');
    answer(out.parsed().sport);
    send(CLIENT[4], port, '.');
  }
  const established = rig.flows('flows').flatMap(({ key }) => (key.daddr === VIP ? [key.sport] : []));
  expect(established.sort()).toEqual([before, ...clients]);
  // And the one that was there before goes on with its port.
  expect(send(CLIENT[4], before, '.').parsed().sport).toBe(mine);
});

it('one that speaks within the time keeps its port', () => {
  const ports = new Map<number, number>();
  for (let i = 0; i < PORTS * 2; i++) {
    const out = send(CLIENT[4], 20_000 + i, 'S');
    if (out.reasons.includes('NEW_FLOW')) ports.set(20_000 + i, out.parsed().sport);
  }
  expect(ports.size).toBeGreaterThan(0);
  older(() => 2);
  // They repeat their SYN, as clients do whose answer is late.
  for (const port of ports.keys()) send(CLIENT[4], port, 'S');
  flood('198.18.1', [...ports.keys()]);
  for (const [port, sport] of ports) expect(send(CLIENT[4], port, 'S').parsed().sport).toBe(sport);
});
