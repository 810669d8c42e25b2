/** While another proxy serves (control.flags STANDBY) nothing begins; what has a flow goes on. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { CONTROL_STANDBY, FRONTEND_NODE_PORT } from '../../maps-schema/gen/codecs.ts';
import { packet } from '../support/packet/builder.ts';
import { CLIENT, NODE, REMOTE_POD } from '../support/packet/network.ts';
import { createPacketRig, type PacketRig, WAYS } from '../support/packet/rig.ts';
import { frontend, remote, service } from '../support/packet/services.ts';

/** Offset of control.flags. */
const FLAGS = 6;
const FAMILIES = [4, 6] as const;
const VIP = { 4: '10.96.0.10', 6: 'fd96::10' };
const EMPTY = { 4: '10.96.0.11', 6: 'fd96::11' };
const ANY = { 4: '0.0.0.0', 6: '::' };
let rig: PacketRig;

beforeAll(async () => {
  rig = await createPacketRig();
});
afterAll(() => rig?.remove());

const standBy = (on: boolean) => rig.maps.control.view.writeUInt16LE(on ? CONTROL_STANDBY : 0, FLAGS);
afterEach(() => standBy(false));

describe.each(FAMILIES)('IPv%d', (family) => {
  const serve = () =>
    rig.serve(
      ...(['TCP', 'UDP'] as const).map((protocol) =>
        service(`web-${protocol}`.toLowerCase(), {
          protocol,
          frontends: [frontend(VIP[family], 80), frontend(ANY[family], 30080, { flags: FRONTEND_NODE_PORT })],
          cluster: [remote(REMOTE_POD[family])],
        }),
      ),
      service('empty', { frontends: [frontend(EMPTY[family], 80)] }),
    );
  const syn = (to: string, port = 80) => packet(CLIENT[family], to).tcp(40000, port, 'S').build();

  it.each(WAYS)('what begins passes as it came, by %s', (way) => {
    serve();
    standBy(true);
    for (const frame of [
      syn(VIP[family]),
      syn(EMPTY[family]),
      // A cluster IP has no such port.
      syn(VIP[family], 81),
      syn(NODE[family], 30080),
      packet(CLIENT[family], VIP[family]).udp(40000, 80).build(),
      // In the middle of a connection that is not ours: not reset.
      packet(CLIENT[family], VIP[family])
        .tcp(40001, 80, '.')
        .build(),
    ]) {
      const out = rig.ingress(frame, { way });
      expect([out.verdict, out.frame.equals(frame)]).toEqual(['NEXT', true]);
    }
    expect([...rig.flows('flows'), ...rig.flows('halfOpenFlows')]).toEqual([]);
    standBy(false);
    expect(rig.ingress(syn(VIP[family]), { way }).verdict).not.toBe('NEXT');
  });

  it('what the node sends past the socket hook passes too', () => {
    serve();
    standBy(true);
    const frame = packet(NODE[family], VIP[family]).tcp(40000, 80, 'S').build();
    const out = rig.egress(frame);
    expect([out.verdict, out.frame.equals(frame)]).toEqual(['NEXT', true]);
  });

  it('a flow goes on, answers and end included', () => {
    serve();
    const client = (flags: string) => packet(CLIENT[family], VIP[family]).tcp(40000, 80, flags).build();
    const begun = rig.ingress(client('S')).parsed();
    standBy(true);
    const { source, sport } = begun;
    const answer = packet(REMOTE_POD[family], source).tcp(8080, sport, 'S.').build();
    expect(rig.ingress(answer).parsed().destination).toContain(CLIENT[family]);
    for (const flags of ['.', 'P.', 'F.'])
      expect(rig.ingress(client(flags)).parsed().destination).toContain(REMOTE_POD[family]);
  });

  it('datagrams whose backend serves no more are left to the other proxy', () => {
    serve();
    const datagram = packet(CLIENT[family], VIP[family]).udp(40000, 80).build();
    rig.ingress(datagram);
    standBy(true);
    expect(rig.ingress(datagram).verdict).toBe('REDIRECT');
    rig.change();
    const out = rig.ingress(datagram);
    expect([out.verdict, out.frame.equals(datagram)]).toEqual(['NEXT', true]);
  });
});
