/**
 * What begins a flow and what does not: a SYN alone, a datagram that nobody owns, and only from where
 * its source can be. Everything else that looks like a Service's passes as it came.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  DEVICE_NO_ETHERNET,
  DEVICE_NODE,
  DEVICE_OVERLAY,
  DEVICE_POD,
  FLOW_FOREIGN,
  FRONTEND_CLUSTER_IP,
  FRONTEND_EXTERNAL_IP,
  FRONTEND_LOAD_BALANCER,
  FRONTEND_NODE_PORT,
  NODE_ADDRESS_BROADCAST,
  NODE_ADDRESS_LOCAL,
  NODE_ADDRESS_NODE_PORT,
  XDP_CHOICE_NATIVE,
  XDP_CHOICE_OFF,
} from '../../maps-schema/gen/codecs.ts';
import { haveConntrack } from '../../src/bpf/conntrack.ts';
import { run } from '../kernel/bpf/rig.ts';
import { icmpError, packet } from '../support/packet/builder.ts';
import {
  BRIDGE,
  CLIENT,
  type DeviceName,
  NODE,
  OTHER_POD,
  POD,
  REMOTE_POD,
  SECOND_POD,
} from '../support/packet/network.ts';
import { createPacketRig, type Outcome, type PacketRig } from '../support/packet/rig.ts';
import { backend, frontend, remote, service } from '../support/packet/services.ts';

const FAMILIES = [4, 6] as const;
const WAYS = ['tc', 'xdp'] as const;
const VIP = { 4: '10.96.0.10', 6: 'fd00:10:96::a' } as const;
const LB = { 4: '203.0.113.1', 6: '2001:db8:7::1' } as const;
/** An address beyond the gateway, which a Service has as its external one. */
const EXTERNAL = { 4: '198.51.100.77', 6: '2001:db8:9::77' } as const;
const ANY = { 4: '0.0.0.0', 6: '::' } as const;
const NODE_PORT = 30080;
let rig: PacketRig;

const services = (family: 4 | 6, protocol: 'TCP' | 'UDP') => [
  service('elsewhere', {
    protocol,
    frontends: [
      frontend(VIP[family], 80, { flags: FRONTEND_CLUSTER_IP }),
      frontend(LB[family], 80, { flags: FRONTEND_LOAD_BALANCER }),
      frontend(EXTERNAL[family], 7777, { flags: FRONTEND_EXTERNAL_IP }),
      frontend(ANY[family], NODE_PORT, { flags: FRONTEND_NODE_PORT }),
    ],
    cluster: [remote(REMOTE_POD[family])],
  }),
];

const expectUntouched = (out: Outcome, sent: Buffer) => {
  expect(out).toMatchObject({ verdict: 'NEXT', reasons: [] });
  expect(out.frame.equals(sent)).toBe(true);
  expect(rig.flows('halfOpenFlows').filter(({ flow }) => !(flow.flags & FLOW_FOREIGN))).toEqual([]);
};

beforeAll(async () => {
  rig = await createPacketRig();
});
afterAll(() => rig?.remove());

describe.each(WAYS)('by %s', (way) => {
  describe.each(FAMILIES)('IPv%i', (family) => {
    const into = (from: string, to: string, sport: number, dport: number, flags: string) =>
      packet(from, to).tcp(sport, dport, flags, { seq: 5, ack: 9 }).build();

    describe('TCP', () => {
      beforeEach(() => rig.serve(...services(family, 'TCP')));

      it.each([
        'S.',
        '.',
        'P.',
        'F.',
        'F',
        'R',
        'R.',
        'SF',
        'SR',
        '',
      ])('"%s" to a NodePort goes on to the stack, whose connection it may be (R-101)', (flags) => {
        const sent = into(CLIENT[family], NODE[family], 40000, NODE_PORT, flags);
        expectUntouched(rig.ingress(sent, { way }), sent);
      });

      it('a SYN begins, also one that asks for ECN', () => {
        const sent = into(CLIENT[family], NODE[family], 40000, NODE_PORT, 'S');
        const l4 = family === 4 ? 34 : 54;
        sent[l4 + 13] = (sent[l4 + 13] ?? 0) | 0xc0;
        expect(rig.ingress(sent, { way }).reasons).toEqual(['NEW_FLOW']);
      });

      it('the middle of a connection that leads on past the node is left alone (R-104)', () => {
        const sent = into(POD[family], EXTERNAL[family], 40000, 7777, '.');
        expectUntouched(rig.ingress(sent, { device: 'pod0' }), sent);
        expectUntouched(rig.egress(sent), sent);
      });

      it.each([
        ['a cluster IP', VIP, 80],
        ['an address that the stack would send back where it came from', LB, 80],
      ] as const)('a connection to %s whose flow was lost is reset', (_, address, port) => {
        const out = rig.ingress(into(CLIENT[family], address[family], 40000, port, 'P.'), { way });
        expect(out).toMatchObject({ verdict: 'REDIRECT', reasons: ['REJECT_LOST'] });
        const { source, destination, l4 } = out.parsed();
        expect([source, destination, l4[13], l4.readUInt32BE(4)]).toEqual([address[family], CLIENT[family], 4, 9]);
      });
    });

    describe('sources by a node device (R-106)', () => {
      const impossible =
        family === 4
          ? ['0.0.0.0', '0.1.2.3', '127.0.0.1', '224.0.0.1', '255.255.255.255', '192.0.2.255', NODE[4], BRIDGE[4]]
          : ['::', '::1', 'ff02::1', NODE[6], BRIDGE[6]];

      beforeAll(() => describeNode());

      it.each([
        'TCP',
        'UDP',
      ] as const)('%s from an address that nobody sends from is dropped and counted', (protocol) => {
        rig.serve(...services(family, protocol));
        for (const from of [...impossible, POD[family]]) {
          const to = packet(from, NODE[family]);
          const sent = protocol === 'TCP' ? to.tcp(40000, NODE_PORT) : to.udp(40000, NODE_PORT);
          const out = rig.ingress(sent.build(), { way });
          expect([from, out.verdict, out.reasons]).toEqual([from, 'DROP', ['DROP_SOURCE']]);
        }
        expect(rig.flows('halfOpenFlows')).toEqual([]);
      });

      it('to what is no frontend they go on to the stack', () => {
        rig.serve(...services(family, 'TCP'));
        for (const from of [...impossible, POD[family]]) {
          const sent = packet(from, NODE[family]).tcp(40000, 22).build();
          expectUntouched(rig.ingress(sent, { way }), sent);
        }
      });

      if (family === 6)
        it('IPv4 in the addresses of an IPv6 packet is nobody’s', () => {
          rig.serve(...services(4, 'TCP'));
          for (const flags of ['S', '.']) {
            const sent = packet('::1:0', '::1:1').tcp(40000, 80, flags).build();
            Buffer.concat([mapped(CLIENT[4]), mapped(VIP[4])]).copy(sent, 14 + 8);
            sent.writeUInt16BE(0, 14 + 40 + 16);
            expect(rig.ingress(sent, { way })).toMatchObject({ verdict: 'DROP', reasons: ['DROP_SOURCE'] });
          }
          expect(rig.flows('halfOpenFlows')).toEqual([]);
        });

      it('a pod of another node counts as a pod when the way back leads there', () => {
        rig.serve(
          service('lists', {
            frontends: [frontend(LB[family], 80, { external: 'local' })],
            cluster: [backend(POD[family])],
            local: [backend(OTHER_POD[family])],
          }),
        );
        const led = (from: string) => rig.ingress(packet(from, LB[family]).tcp(40000, 80).build(), { way }).parsed();
        expect(led(REMOTE_POD[family]).destination).toBe(POD[family]);
        // Ways there and back may differ, by any device that leads to other nodes.
        describeNode(DEVICE_NODE);
        expect(led(SECOND_POD[family]).destination).toBe(POD[family]);
        // Where pods come by a tunnel, the wire below it cannot bring them.
        describeNode(DEVICE_NODE | DEVICE_OVERLAY);
        rig.forgetFlows();
        expect(led(SECOND_POD[family]).destination).toBe(OTHER_POD[family]);
        // A device that a CNI has made, to its pods of any node.
        describeNode(0);
        rig.forgetFlows();
        expect(led(SECOND_POD[family]).destination).toBe(OTHER_POD[family]);
        // The same by one without Ethernet headers, which nothing is attached to: IP in IP, WireGuard.
        describeNode(DEVICE_OVERLAY | DEVICE_NO_ETHERNET);
        rig.forgetFlows();
        expect(led(SECOND_POD[family]).destination).toBe(OTHER_POD[family]);
        describeNode();
      });
    });
  });
});

describe.each(FAMILIES)('IPv%i', (family) => {
  describe('sources by the device of a pod (R-106)', () => {
    const send = (from: string) => {
      rig.serve(...services(family, 'TCP'));
      return rig.ingress(packet(from, LB[family]).tcp(40000, 80).build(), { device: 'pod0' });
    };

    it('that of a pod behind a tunnel is dropped', () => {
      describeNode(DEVICE_NODE | DEVICE_OVERLAY);
      expect(send(SECOND_POD[family])).toMatchObject({ verdict: 'DROP', reasons: ['DROP_SOURCE'] });
      describeNode(DEVICE_OVERLAY | DEVICE_NO_ETHERNET);
      expect(send(SECOND_POD[family])).toMatchObject({ verdict: 'DROP', reasons: ['DROP_SOURCE'] });
      describeNode();
    });

    it('its own address is served', () => expect(send(POD[family]).reasons).toEqual(['NEW_FLOW']));

    it('also where rules send what is from the address dialled another way', () => {
      const ip = (...args: string[]) => run('ip', `-${family}`, ...args);
      ip('route', 'add', 'default', 'dev', 'node0', 'table', '77');
      ip('rule', 'add', 'from', LB[family], 'lookup', '77');
      try {
        expect(send(POD[family]).reasons).toEqual(['NEW_FLOW']);
      } finally {
        ip('rule', 'del', 'from', LB[family], 'lookup', '77');
        ip('route', 'flush', 'table', '77');
      }
    });

    it('a link-local one is its own, whatever other device has that network', () => {
      if (family === 6) expect(send('fe80::5').reasons).toEqual(['NEW_FLOW']);
    });

    it.each([
      ['the loopback', { 4: '127.0.0.1', 6: '::1' }],
      ['the node', NODE],
      ['a client outside', CLIENT],
      ['a pod of another node', REMOTE_POD],
    ] as const)('that of %s is dropped', (_, from) => {
      expect(send(from[family])).toMatchObject({ verdict: 'DROP', reasons: ['DROP_SOURCE'] });
    });
  });

  describe('datagrams', () => {
    beforeEach(() => rig.serve(...services(family, 'UDP')));
    const question = (from: string, to: string, sport = NODE_PORT) => packet(from, to).udp(sport, 7000).build();
    const answer = (from: string, to: string, dport = NODE_PORT) => packet(from, to).udp(7000, dport).build();
    /** Runs with a socket of the node that hears everybody. */
    const hearing = async (port: number, then: () => void) => {
      const socket = createSocket(family === 4 ? 'udp4' : 'udp6');
      try {
        socket.bind(port, NODE[family]);
        await once(socket, 'listening');
        then();
      } finally {
        socket.close();
      }
    };

    it.each([
      ['a process of the node', undefined],
      ['a pod whom netfilter masquerades', 'pod0'],
    ] as const)('an answer to %s whose port is a NodePort passes, whichever way (R-102)', (_, from) => {
      const options = from === undefined ? {} : { from };
      for (const way of WAYS) {
        rig.forgetFlows();
        expectUntouched(
          rig.egress(question(NODE[family], CLIENT[family]), options),
          question(NODE[family], CLIENT[family]),
        );
        const sent = answer(CLIENT[family], NODE[family]);
        for (let i = 0; i < 3; i++) expectUntouched(rig.ingress(sent, { way }), sent);
        // Both sides have spoken: it lives as long as a stream.
        expect(rig.flows('flows').map(({ flow }) => flow.flags & FLOW_FOREIGN)).toEqual([FLOW_FOREIGN]);
        // Another client is the Service's.
        expect(rig.ingress(packet(CLIENT[family], NODE[family]).udp(7001, NODE_PORT).build(), { way }).reasons).toEqual(
          ['NEW_FLOW'],
        );
      }
    });

    it('nothing is noted of what comes from where no frontend is', () => {
      rig.egress(question(NODE[family], CLIENT[family], 30081));
      rig.egress(question(CLIENT[family], POD[family]), { device: 'pod0', from: 'node0' });
      expect(rig.flows('halfOpenFlows')).toEqual([]);
    });

    it('nobody takes the answers to a Service away by a forged question', () => {
      const taken = (from: string) => {
        rig.egress(
          packet(from, POD[family])
            .udp(from === EXTERNAL[family] ? 7777 : 80, 40000)
            .build(),
          {
            device: 'pod0',
            from: from === VIP[family] ? 'node0' : 'pod0',
          },
        );
        rig.ingress(
          packet(from, NODE[family])
            .udp(from === EXTERNAL[family] ? 7777 : 80, 40000)
            .build(),
          {
            device: from === VIP[family] ? 'node0' : 'pod0',
          },
        );
        return rig.flows('halfOpenFlows');
      };
      for (const from of [VIP[family], LB[family], EXTERNAL[family]]) expect(taken(from)).toEqual([]);
      const asks = packet(POD[family], VIP[family]).udp(40000, 80).build();
      expect(rig.ingress(asks, { device: 'pod0' }).reasons).toEqual(['NEW_FLOW']);
    });

    it('nor by one that two hosts outside have no need of the node for, or that no socket waits for', async () => {
      rig.egress(packet(EXTERNAL[family], CLIENT[family]).udp(7777, 40000).build(), { from: 'node0' });
      const forged = packet(EXTERNAL[family], NODE[family]).udp(7777, 53).build();
      rig.ingress(forged);
      expect(rig.flows('halfOpenFlows')).toEqual([]);
      await hearing(53, () => rig.ingress(forged));
      expect(rig.flows('halfOpenFlows')).toHaveLength(1);
      // A host on another side of the node may need it.
      rig.egress(packet(EXTERNAL[family], CLIENT[family]).udp(7777, 40000).build(), {
        device: 'second0',
        from: 'node0',
      });
      expect(rig.flows('halfOpenFlows')).toHaveLength(2);
    });

    it('an answer that was awaited too long is a Service’s, whichever way', async () => {
      const age = () => {
        for (const row of rig.flows('halfOpenFlows'))
          rig.putFlow('halfOpenFlows', { ...row, flow: { ...row.flow, lastSeen: (row.flow.lastSeen - 60_000) >>> 0 } });
      };
      await hearing(53, () => rig.ingress(packet(EXTERNAL[family], NODE[family]).udp(7777, 53).build()));
      expect(rig.flows('halfOpenFlows')).toHaveLength(1);
      age();
      expect(rig.egress(packet(NODE[family], EXTERNAL[family]).udp(53, 7777).build()).reasons).toEqual(['NEW_FLOW']);
      rig.forgetFlows();
      rig.egress(question(NODE[family], CLIENT[family]));
      age();
      expect(rig.ingress(answer(CLIENT[family], NODE[family])).reasons).toEqual(['NEW_FLOW']);
    });

    it('a question that is repeated leaves its answers where they are', () => {
      for (let i = 0; i < 3; i++) {
        const sent = question(NODE[family], CLIENT[family]);
        expectUntouched(rig.egress(sent), sent);
      }
      expect(rig.flows('halfOpenFlows')).toHaveLength(1);
    });

    it('the answer of a process of the node to a client who sends from where a frontend is passes', async () => {
      const asked = packet(EXTERNAL[family], NODE[family]).udp(7777, 53).build();
      await hearing(53, () => expectUntouched(rig.ingress(asked), asked));
      const sent = packet(NODE[family], EXTERNAL[family]).udp(53, 7777).build();
      for (let i = 0; i < 2; i++) expectUntouched(rig.egress(sent), sent);
      // Another socket's datagram to the same place is for the Service.
      expect(rig.egress(packet(NODE[family], EXTERNAL[family]).udp(54, 7777).build()).reasons).toEqual(['NEW_FLOW']);
    });

    it('an ICMP error about a question passes as it came', () => {
      rig.egress(question(NODE[family], CLIENT[family]));
      const error = icmpError(CLIENT[family], NODE[family], question(NODE[family], CLIENT[family])).build();
      expectUntouched(rig.ingress(error), error);
    });

    it('a flow of the Service is not taken by a question that meets it', () => {
      expect(rig.ingress(answer(CLIENT[family], NODE[family]), { way: 'tc' }).reasons).toEqual(['NEW_FLOW']);
      rig.egress(question(NODE[family], CLIENT[family]));
      expect(rig.ingress(answer(CLIENT[family], NODE[family]), { way: 'tc' }).reasons).toEqual(['REDIRECTED']);
    });

    it.each(
      WAYS,
    )('a connected socket of the node owns its tuple, one that hears everybody does not (%s)', async (way) => {
      const socket = createSocket(family === 4 ? 'udp4' : 'udp6');
      try {
        socket.bind(NODE_PORT, NODE[family]);
        await once(socket, 'listening');
        expect(rig.ingress(answer(CLIENT[family], NODE[family]), { way }).reasons).toEqual(['NEW_FLOW']);
        rig.forgetFlows();
        socket.connect(7000, CLIENT[family]);
        await once(socket, 'connect');
        const sent = answer(CLIENT[family], NODE[family]);
        expectUntouched(rig.ingress(sent, { way }), sent);
      } finally {
        socket.close();
      }
    });
  });

  it.skipIf(!haveConntrack())('an answer to what nf_conntrack follows passes (kernel 5.18; R-102)', async () => {
    rig.serve(...services(family, 'UDP'));
    run('nft', 'add table inet track; add chain inet track out { type filter hook output priority 0; }');
    run('nft', 'add rule inet track out ct state new accept');
    const socket = createSocket(family === 4 ? 'udp4' : 'udp6');
    socket.bind(NODE_PORT, NODE[family]);
    await once(socket, 'listening');
    await new Promise((sent) => socket.send('question', 7000, CLIENT[family], sent));
    socket.close();
    await once(socket, 'close');
    for (const way of WAYS) {
      const sent = packet(CLIENT[family], NODE[family]).udp(7000, NODE_PORT).build();
      expectUntouched(rig.ingress(sent, { way }), sent);
      expect(rig.ingress(packet(CLIENT[family], NODE[family]).udp(7001, NODE_PORT).build(), { way }).reasons).toEqual([
        'NEW_FLOW',
      ]);
      rig.forgetFlows();
    }
    run('nft', 'delete table inet track');
  });

  it('a SYN that meets a connection of the node, from a port that is a NodePort, begins nothing (R-104)', () => {
    rig.serve(...services(family, 'TCP'));
    const dials = packet(NODE[family], CLIENT[family]).tcp(NODE_PORT, 7000, 'S').build();
    expectUntouched(rig.egress(dials), dials);
    for (const way of WAYS)
      for (const flags of ['S', 'S.', '.', 'P.']) {
        const sent = packet(CLIENT[family], NODE[family]).tcp(7000, NODE_PORT, flags, { seq: 1 }).build();
        expectUntouched(rig.ingress(sent, { way }), sent);
      }
    const another = packet(CLIENT[family], NODE[family]).tcp(7001, NODE_PORT, 'S').build();
    expect(rig.ingress(another).reasons).toEqual(['NEW_FLOW']);
  });

  it('what netfilter masquerades to a port that a flow has gets another one (R-103)', () => {
    rig.serve(...services(family, 'TCP'));
    const out = rig.ingress(packet(CLIENT[family], LB[family]).tcp(40000, 80).build(), { way: 'tc' });
    const taken = out.parsed().sport;
    expect(out.tuple()).toBe(`${NODE[family]} ${taken} > ${REMOTE_POD[family]} 8080`);
    // A pod dials that backend itself, and POSTROUTING chooses the port of the flow.
    const meets = (flags: string) =>
      rig.egress(packet(NODE[family], REMOTE_POD[family]).tcp(taken, 8080, flags).build(), { from: 'pod0' }).parsed();
    const other = meets('S').sport;
    expect(other).not.toBe(taken);
    const back = (dport: number) =>
      rig.ingress(packet(REMOTE_POD[family], NODE[family]).tcp(8080, dport, 'S.').build(), { way: 'tc' }).tuple();
    expect(back(other)).toBe(`${REMOTE_POD[family]} 8080 > ${NODE[family]} ${taken}`);
    expect(back(taken)).toBe(`${LB[family]} 80 > ${CLIENT[family]} 40000`);
    expect(meets('.').sport).toBe(other);
    // Both sides have spoken: an idle connection keeps its port for a day.
    expect(rig.flows('flows').map(({ key }) => key.dport)).toContain(other);
  });
});

/** The bytes of ::ffff:a.b.c.d. */
function mapped(address: string): Buffer {
  return Buffer.from([...Array<number>(10).fill(0), 0xff, 0xff, ...address.split('.').map(Number)]);
}

/** The node of the rig, with the broadcast address of its network. @param second flags of the second device; none: it is not described */
function describeNode(second?: number): void {
  const device = (name: DeviceName, flags: number, of: Readonly<Record<4 | 6, string>>) => ({
    ifindex: rig.ifindex(name),
    device: {
      masquerade4: of[4],
      masquerade6: of[6],
      flags,
      mtu: 1500,
      xdp: flags & DEVICE_NODE ? XDP_CHOICE_NATIVE : XDP_CHOICE_OFF,
      master: 0,
      mac: '00:00:00:00:00:00',
    },
  });
  rig.tables.applyNodeTables({
    nodeAddresses: [
      ...FAMILIES.map((family) => ({ address: NODE[family], flags: NODE_ADDRESS_LOCAL | NODE_ADDRESS_NODE_PORT })),
      ...FAMILIES.map((family) => ({ address: BRIDGE[family], flags: NODE_ADDRESS_LOCAL })),
      { address: '192.0.2.255', flags: NODE_ADDRESS_BROADCAST },
    ],
    devices: [
      device('node0', DEVICE_NODE, NODE),
      device('pod0', DEVICE_POD, BRIDGE),
      ...(second === undefined ? [] : [device('second0', second, NODE)]),
    ],
    podCidrs: [
      { address: '10.1.0.0', bits: 16 },
      { address: 'fd00:1::', bits: 32 },
    ],
  });
}
