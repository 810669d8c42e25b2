/** Connections that begin at the same time on different CPUs never share a tuple towards the backend. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { packet } from '../support/packet/builder.ts';
import { CLIENT, POD } from '../support/packet/network.ts';
import { parseFrame } from '../support/packet/parser.ts';
import { race } from '../support/packet/race.ts';
import { createPacketRig, type PacketRig } from '../support/packet/rig.ts';
import { backend, frontend, service } from '../support/packet/services.ts';

const VIPS = ['10.96.0.10', '10.96.0.11'];
const ROUNDS = 800;
let rig: PacketRig;

beforeAll(async () => {
  // So many that none of these flows makes room for another.
  rig = await createPacketRig({}, 'tc', { halfOpenFlows: 1024 });
  rig.serve(
    ...VIPS.map((vip, i) =>
      service(`race-${i}`, { protocol: 'UDP', frontends: [frontend(vip, 80)], cluster: [backend(POD[4])] }),
    ),
  );
});
afterAll(() => rig?.remove());

it('gives each of two racing connections answers of its own', async () => {
  const ports = [...Array(ROUNDS).keys()].map((round) => 1024 + round);
  const frames = VIPS.map((vip) => ports.map((port) => packet(CLIENT[4], vip).udp(port, 80).build()));
  const results = await race(rig.program('ingress'), frames);
  const taken = new Map<number, string>();
  results.forEach((outcomes, i) => {
    outcomes.forEach((frame, round) => {
      const { source, destination, sport } = parseFrame(frame);
      expect([source, destination]).toEqual([CLIENT[4], POD[4]]);
      expect(taken.get(sport)).toBeUndefined();
      taken.set(sport, `${VIPS[i]} 80 > ${CLIENT[4]} ${ports[round]}`);
    });
  });
  expect(taken.size).toBe(VIPS.length * ROUNDS);
  for (const port of ports) expect(taken.has(port)).toBe(true);
  for (const [port, answer] of taken) {
    expect(rig.egress(packet(POD[4], CLIENT[4]).udp(8080, port).build()).tuple()).toBe(answer);
  }
});
