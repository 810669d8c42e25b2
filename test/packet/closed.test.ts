/** Connections that are closed: both directions know, and their ports serve others again. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FLOW_CLOSING_FIN, FLOW_CLOSING_RST } from '../../maps-schema/gen/codecs.ts';
import { packet } from '../support/packet/builder.ts';
import { CLIENT, NODE, OTHER_POD, POD, REMOTE_POD } from '../support/packet/network.ts';
import { createPacketRig, type PacketRig, WAYS, type Way } from '../support/packet/rig.ts';
import { backend, frontend, remote, service } from '../support/packet/services.ts';

const VIPS = ['10.96.0.1', '10.96.0.2', '10.96.0.3', '10.96.0.4'] as const;
const JIFFIES_PER_SECOND = 1000;
const CLIENT_PORT = 40000;
/** Another backend behind the same route. */
const OTHER_REMOTE = REMOTE_POD[4].replace(/\d+$/, '77');
let rig: PacketRig;

/** Two ports beside the client's own. */
beforeAll(async () => {
  rig = await createPacketRig({ snatPortMin: 50000, snatPortMax: 50001 });
});
afterAll(() => rig?.remove());

function age(seconds: number): void {
  for (const table of ['flows', 'halfOpenFlows'] as const)
    for (const { key, flow } of rig.flows(table)) {
      const lastSeen = (flow.lastSeen - seconds * JIFFIES_PER_SECOND) >>> 0;
      rig.putFlow(table, { key, flow: { ...flow, lastSeen } });
    }
}

const entries = () => [rig.flows('halfOpenFlows').length, rig.flows('flows').length];
const closing = (how: number) =>
  [...rig.flows('flows'), ...rig.flows('halfOpenFlows')].filter(({ flow }) => flow.closing === how).length;
/** First numbers of the client and of the backend; each has acknowledged the other's. */
const CLIENT_NUMBER = 1000;
const BACKEND_NUMBER = 5000;
const numbers = (flags: string, own: number, other: number, sequence?: number) => ({
  seq: sequence ?? (flags.startsWith('S') ? own : own + 1),
  ack: flags === 'S' || flags === 'R' ? 0 : other + 1,
});

/** The backend is here, or elsewhere: then the node's address and one entry a direction. */
describe.each(['here', 'elsewhere'] as const)('backend %s', (where) => {
  describe.each(where === 'here' ? (['tc'] as Way[]) : WAYS)('by %s', (way) => {
    const target = where === 'here' ? POD[4] : REMOTE_POD[4];

    const send = (vip: string, flags: string, sequence?: number, from = CLIENT[4]) => {
      const options = numbers(flags, CLIENT_NUMBER, BACKEND_NUMBER, sequence);
      return rig.ingress(packet(from, vip).tcp(CLIENT_PORT, 80, flags, options).build(), { way });
    };
    const answer = (port: number, flags: string, sequence?: number) => {
      const options = numbers(flags, BACKEND_NUMBER, CLIENT_NUMBER, sequence);
      return where === 'here'
        ? rig.egress(packet(target, CLIENT[4]).tcp(8080, port, flags, options).build())
        : rig.ingress(packet(target, NODE[4]).tcp(8080, port, flags, options).build(), { way });
    };
    /** Opens a connection. @returns the port that the backend sees */
    const open = (vip: string): number => {
      const { sport } = send(vip, 'S').parsed();
      answer(sport, 'S.');
      send(vip, '.');
      return sport;
    };

    beforeEach(() => {
      const cluster = [where === 'here' ? backend(target) : remote(target)];
      rig.serve(...VIPS.map((vip, i) => service(`closed-${i}`, { frontends: [frontend(vip, 80)], cluster })));
    });

    it.each(['client', 'backend'])('an RST of the %s: both directions know', (who) => {
      const port = open(VIPS[0]);
      expect(closing(FLOW_CLOSING_RST)).toBe(0);
      if (who === 'client') send(VIPS[0], 'R');
      else answer(port, 'R');
      expect(closing(FLOW_CLOSING_RST)).toBe(2);
    });

    it.each([
      ['client', CLIENT_NUMBER],
      ['client', CLIENT_NUMBER + 2],
      ['client', 0],
      ['backend', BACKEND_NUMBER + 2],
    ])('an RST with a number that nobody acknowledged is not believed: %s, %d', (who, sequence) => {
      const port = open(VIPS[0]);
      if (who === 'client') send(VIPS[0], 'R', sequence);
      else answer(port, 'R', sequence);
      expect(closing(FLOW_CLOSING_RST)).toBe(0);
      age(2);
      // Nobody gets its port, and it goes on.
      expect(open(VIPS[1])).not.toBe(CLIENT_PORT);
      expect(send(VIPS[0], '.').reasons).not.toContain('NEW_FLOW');
      expect(send(VIPS[0], '.').parsed().sport).toBe(CLIENT_PORT);
    });

    it('data that flow on take the mark back', () => {
      const port = open(VIPS[0]);
      send(VIPS[0], 'R');
      answer(port, '.');
      expect(closing(FLOW_CLOSING_RST)).toBe(2);
      answer(port, 'P.');
      expect(closing(FLOW_CLOSING_RST)).toBe(0);
      send(VIPS[0], 'F.');
      send(VIPS[0], 'P.');
      expect(closing(FLOW_CLOSING_FIN)).toBe(0);
    });

    it('a backend that refuses: its RST has the number 0', () => {
      const { sport } = send(VIPS[0], 'S').parsed();
      answer(sport, 'R.', 0);
      expect(closing(FLOW_CLOSING_RST)).toBe(2);
    });

    it('a FIN closes one direction alone', () => {
      open(VIPS[0]);
      send(VIPS[0], 'F.');
      expect([closing(FLOW_CLOSING_FIN), closing(FLOW_CLOSING_RST)]).toEqual([1, 0]);
    });

    it('an RST does not establish a half-open connection (R-74)', () => {
      send(VIPS[0], 'S');
      answer(CLIENT_PORT, 'S.');
      send(VIPS[0], 'R');
      expect(entries()).toEqual([2, 0]);
    });

    it('the port of a connection that was reset serves another after a second', () => {
      expect(open(VIPS[0])).toBe(CLIENT_PORT);
      send(VIPS[0], 'R');
      expect(open(VIPS[1])).not.toBe(CLIENT_PORT);
      age(2);
      expect(open(VIPS[2])).toBe(CLIENT_PORT);
      // What its client still sends does not reach the other one's.
      expect(rig.flows('flows').some(({ key }) => key.daddr === VIPS[0])).toBe(false);
    });

    it('a newer connection of the same client, to another backend, stays', () => {
      open(VIPS[0]);
      send(VIPS[0], 'R');
      const other = where === 'here' ? backend(OTHER_POD[4]) : remote(OTHER_REMOTE);
      rig.change(
        service('closed-0', { frontends: [frontend(VIPS[0], 80)], cluster: [other] }),
        service('closed-1', {
          frontends: [frontend(VIPS[1], 80)],
          cluster: [where === 'here' ? backend(target) : remote(target)],
        }),
      );
      expect(send(VIPS[0], 'S').reasons).toContain('NEW_FLOW');
      age(2);
      expect(open(VIPS[1])).toBe(CLIENT_PORT);
      const all = [...rig.flows('flows'), ...rig.flows('halfOpenFlows')];
      expect(all.some(({ key }) => key.daddr === VIPS[0])).toBe(true);
    });

    it('when no port is free, one of a connection that both sides have closed is', () => {
      const ports = VIPS.slice(0, 3).map((vip) => [vip, open(vip)] as const);
      expect(new Set(ports.map(([, port]) => port)).size).toBe(3);
      expect(send(VIPS[3], 'S').reasons).toContain('DROP_NO_SNAT_PORT');
      for (const [vip] of ports) send(vip, 'F.');
      expect(send(VIPS[3], 'S').reasons).toContain('DROP_NO_SNAT_PORT');
      for (const [, port] of ports) answer(port, 'F.');
      expect(send(VIPS[3], 'S').reasons).toContain('NEW_FLOW');
    });
  });
});
