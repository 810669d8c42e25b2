/** When a flow is promoted, when it ends, and when its packets choose a backend again. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BACKEND_STATE_SERVING, backendState, FLOW_CLOSING_NO } from '../../maps-schema/gen/codecs.ts';
import type { Backend } from '../../src/model/compiled.ts';
import { packet } from '../support/packet/builder.ts';
import { CLIENT, OTHER_POD, POD } from '../support/packet/network.ts';
import { createPacketRig, type PacketRig } from '../support/packet/rig.ts';
import { backend, frontend, service } from '../support/packet/services.ts';

const VIP = '10.96.0.10';
const OLD = backend(POD[4]);
const NEW = backend(OTHER_POD[4]);
/** As the rig's knobs have them. */
const SECONDS = { tcpEstablished: 86400, tcpClosing: 120, tcpHalfOpen: 60, udp: 30, udpStream: 120 };
const JIFFIES_PER_SECOND = 1000;
let rig: PacketRig;

beforeAll(async () => {
  rig = await createPacketRig();
});
afterAll(() => rig?.remove());

const withBackends = (cluster: readonly Backend[], keeping: readonly Backend[] = []) =>
  (['TCP', 'UDP'] as const).map((protocol) =>
    service(`life-${protocol}`.toLowerCase(), { protocol, frontends: [frontend(VIP, 80)], cluster, keeping }),
  );

/** Its answers acknowledge the number 0: an RST that has it is believed. */
const tcp = (flags: string) =>
  rig.ingress(
    packet(CLIENT[4], VIP)
      .tcp(40000, 80, flags, { seq: flags === 'R' ? 0 : 1000 })
      .build(),
  );
const tcpAnswer = (flags: string, from: string = POD[4]) =>
  rig.egress(packet(from, CLIENT[4]).tcp(8080, 40000, flags).build());
const udp = () => rig.ingress(packet(CLIENT[4], VIP).udp(40000, 80).build());
const udpAnswer = () => rig.egress(packet(POD[4], CLIENT[4]).udp(8080, 40000).build());
const led = (out: ReturnType<typeof tcp>) => out.parsed().destination;

function age(seconds: number): void {
  for (const table of ['flows', 'halfOpenFlows'] as const) {
    for (const { key, flow } of rig.flows(table)) {
      const lastSeen = (flow.lastSeen - seconds * JIFFIES_PER_SECOND) >>> 0;
      rig.putFlow(table, { key, flow: { ...flow, lastSeen } });
    }
  }
}

/** Entries in half_open_flows and in flows. */
const entries = () => [rig.flows('halfOpenFlows').length, rig.flows('flows').length];

function establishTcp(): void {
  rig.serve(...withBackends([OLD]));
  tcp('S');
  tcpAnswer('S.');
  tcp('.');
}

describe('promotion', () => {
  it('TCP: half open until the client has seen the answer', () => {
    rig.serve(...withBackends([OLD]));
    tcp('S');
    expect(entries()).toEqual([2, 0]);
    tcp('S');
    tcp('.');
    expect(entries()).toEqual([2, 0]);
    tcpAnswer('S.');
    tcp('S');
    expect(entries()).toEqual([2, 0]);
    tcp('.');
    expect(entries()).toEqual([0, 2]);
    expect(tcp('.').reasons).toEqual(['FORWARDED']);
    expect(tcpAnswer('.').tuple()).toBe(`${VIP} 80 > ${CLIENT[4]} 40000`);
    expect(entries()).toEqual([0, 2]);
  });

  it('UDP: half open until both have spoken and the client again', () => {
    rig.serve(...withBackends([OLD]));
    udp();
    udp();
    expect(entries()).toEqual([2, 0]);
    udpAnswer();
    expect(entries()).toEqual([2, 0]);
    udp();
    expect(entries()).toEqual([0, 2]);
  });
});

describe('a backend that goes away', () => {
  it('UDP: the next packet goes to one that serves (R-66)', () => {
    rig.serve(...withBackends([OLD]));
    expect(led(udp())).toBe(POD[4]);
    rig.change(...withBackends([NEW]));
    const out = udp();
    expect(out.reasons).toEqual(['NEW_FLOW']);
    expect(led(out)).toBe(OTHER_POD[4]);
    expect(led(udp())).toBe(OTHER_POD[4]);
  });

  it('UDP: established too', () => {
    rig.serve(...withBackends([OLD]));
    udp();
    udpAnswer();
    udp();
    rig.change(...withBackends([NEW]));
    expect(led(udp())).toBe(OTHER_POD[4]);
  });

  it('UDP: nobody is left, so the next packet is refused (R-67)', () => {
    rig.serve(...withBackends([OLD]));
    udp();
    rig.change(...withBackends([]));
    expect(udp().reasons).toEqual(['REJECT_NO_BACKEND']);
  });

  it('UDP: the Service is deleted, so the next packet is not ours (R-67)', () => {
    rig.serve(...withBackends([OLD]));
    udp();
    rig.change();
    const out = udp();
    expect([out.verdict, led(out)]).toEqual(['NEXT', VIP]);
  });

  it('UDP: one that still serves keeps its flows, though it is given no new ones (R-66)', () => {
    rig.serve(...withBackends([OLD]));
    udp();
    rig.change(...withBackends([NEW], [OLD]));
    expect(led(udp())).toBe(POD[4]);
    expect(led(rig.ingress(packet(CLIENT[4], VIP).udp(40001, 80).build()))).toBe(OTHER_POD[4]);
  });

  it('TCP: established flows stay, new connections do not (R-23)', () => {
    establishTcp();
    rig.change(...withBackends([NEW]));
    const out = tcp('.');
    expect(out.reasons).toEqual(['FORWARDED']);
    expect(led(out)).toBe(POD[4]);
    expect(led(tcp('S'))).toBe(OTHER_POD[4]);
    expect(tcpAnswer('S.', OTHER_POD[4]).tuple()).toBe(`${VIP} 80 > ${CLIENT[4]} 40000`);
  });

  it('UDP: a flow whose backend id was given to another backend is stale', () => {
    rig.serve(...withBackends([OLD]));
    udp();
    const id = rig.flows('halfOpenFlows')[0]?.flow.backendId ?? 0;
    const { view, stride } = rig.maps.backendStates;
    const serves = () => (backendState.read(view, id * stride).flags & BACKEND_STATE_SERVING) !== 0;
    // Ids that nobody has to find again are given out in turn.
    let another = '';
    for (let turn = 0; turn < 100; turn++) {
      another = `10.1.1.${100 + turn}`;
      rig.change(...withBackends([]));
      rig.change(...withBackends([backend(another)]));
      if (serves()) break;
    }
    expect(serves()).toBe(true);
    expect(led(udp())).toBe(another);
  });
});

describe('a connection that is closed', () => {
  const closing = () => rig.flows('flows').filter(({ flow }) => flow.closing !== FLOW_CLOSING_NO).length;

  it.each(['F.', 'R'])('with %s: a new SYN chooses again', (flags) => {
    establishTcp();
    rig.change(...withBackends([NEW], [OLD]));
    expect(led(tcp('S'))).toBe(POD[4]);
    expect(led(tcp(flags))).toBe(POD[4]);
    expect(closing()).toBe(flags === 'R' ? 2 : 1);
    expect(led(tcp('.'))).toBe(POD[4]);
    const out = tcp('S');
    expect([out.reasons, led(out)]).toEqual([['NEW_FLOW'], OTHER_POD[4]]);
    expect(led(tcp('.'))).toBe(OTHER_POD[4]);
  });

  it('a SYN and ACK is no beginning', () => {
    establishTcp();
    tcp('F.');
    expect(tcp('S.').reasons).toEqual(['FORWARDED']);
  });
});

describe('time', () => {
  it.each([
    ['TCP, half open', tcp, SECONDS.tcpHalfOpen, () => rig.serve(...withBackends([OLD]))],
    ['TCP, established', tcp, SECONDS.tcpEstablished, establishTcp],
    ['UDP, half open', udp, SECONDS.udp, () => rig.serve(...withBackends([OLD]))],
    [
      'UDP, stream',
      udp,
      SECONDS.udpStream,
      () => {
        rig.serve(...withBackends([OLD]));
        udp();
        udpAnswer();
        udp();
      },
    ],
  ] as const)('%s: chooses again after its time, not before (R-72)', (_, send, seconds, prepare) => {
    prepare();
    send('S');
    rig.change(...withBackends([NEW], [OLD]));
    age(seconds - 5);
    expect(led(send('S'))).toBe(POD[4]);
    age(seconds + 1);
    expect(led(send('S'))).toBe(OTHER_POD[4]);
  });

  it('each packet renews it', () => {
    rig.serve(...withBackends([OLD]));
    udp();
    rig.change(...withBackends([NEW], [OLD]));
    for (let i = 0; i < 5; i++) {
      age(20);
      expect(led(udp())).toBe(POD[4]);
    }
  });

  it('TCP past its time goes on while it speaks without a SYN', () => {
    establishTcp();
    age(SECONDS.tcpEstablished + 1);
    expect(led(tcp('.'))).toBe(POD[4]);
  });
});
