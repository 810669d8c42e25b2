/** Every exit of the tc programs has a reason, and every reason that they can reach is reached here. */
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import {
  FRONTEND_CLUSTER_IP,
  FRONTEND_EXTERNAL_DROP,
  FRONTEND_SNAT_OUTSIDE,
  FRONTEND_SOURCE_RANGES,
  reasons,
} from '../../maps-schema/gen/codecs.ts';
import { openEvents } from '../../src/bpf/event-source.ts';
import { ALL_REASONS } from '../../src/cli/monitor-reasons.ts';
import { run } from '../kernel/bpf/rig.ts';
import { poll } from '../support/lab/poll.ts';
import { icmpError, packet } from '../support/packet/builder.ts';
import { BEHIND_BARE, CLIENT, NODE, NOWHERE, POD, REMOTE_POD } from '../support/packet/network.ts';
import { createPacketRig, type PacketRig } from '../support/packet/rig.ts';
import { knowServiceCidrs } from '../support/packet/service-cidrs.ts';
import { backend, frontend, remote, service } from '../support/packet/services.ts';

const VIP = (i: number) => `10.96.0.${i}`;
/**
 * Reasons that these programs have no path to, or that only a failing kernel helper leads to:
 * packets that are not ours are not counted one by one, sockets and XDP have their own programs.
 */
const NOT_REACHED = [
  'DROP_ANSWER_LIMIT',
  'DROP_CONGESTED',
  'NOT_OURS',
  'REDIRECTED_XDP',
  'SOCKET_CONNECT',
  'SOCKET_SEND',
  'SOCKET_LOCALHOST',
  'SOCKET_LEFT_TO_PACKETS',
  'SOCKET_BIND_REFUSED',
  'SOCKET_STALE',
  'DROP_FLOW_TABLE',
  'DROP_REWRITE',
  'DROP_IMPOSSIBLE',
  'ENCAPSULATED',
  'DECAPSULATED',
  'DROP_NOT_BACKEND',
  'TOO_BIG',
  'DROP_TOO_BIG',
];
let rig: PacketRig | undefined;

afterEach(() => {
  rig?.remove();
  rig = undefined;
});

const isTold = (reason: number) => (ALL_REASONS & (1n << BigInt(reason))) !== 0n;
const tcp = (from: string, to: string, sport: number, dport: number, flags = 'S') =>
  packet(from, to).tcp(sport, dport, flags).build();

describe('counters', () => {
  it('count each exit once, with its bytes; and a monitor is told of it', async () => {
    // Two ports for source NAT: the third connection to one backend finds none.
    rig = await createPacketRig({ snatPortMin: 40000, snatPortMax: 40001 });
    const closed = FRONTEND_CLUSTER_IP | FRONTEND_SOURCE_RANGES;
    const dropping = FRONTEND_CLUSTER_IP | FRONTEND_EXTERNAL_DROP;
    rig.serve(
      service('local', { frontends: [frontend(VIP(1), 80)], cluster: [backend(POD[4])] }),
      ...[2, 3, 4].map((i) =>
        service(`remote-${i}`, { frontends: [frontend(VIP(i), 80)], cluster: [remote(REMOTE_POD[4])] }),
      ),
      service('none', { frontends: [frontend(VIP(5), 80)] }),
      service('silent', { frontends: [frontend(VIP(6), 80, { flags: dropping })] }),
      service('closed', { frontends: [frontend(VIP(7), 80, { flags: closed })], cluster: [backend(POD[4])] }),
      service('nowhere', { frontends: [frontend(VIP(8), 80)], cluster: [remote(NOWHERE[4])] }),
      service('bare', { frontends: [frontend(VIP(9), 80)], cluster: [remote(BEHIND_BARE[4])] }),
    );
    knowServiceCidrs(rig);
    const later = packet(CLIENT[4], VIP(1)).fragment(185).udp(5000, 80).build();
    const toNode = packet(CLIENT[4], NODE[4]).fragment(185).udp(5000, 80).build();
    const steps: readonly [string, 'ingress' | 'egress', Buffer][] = [
      ['NEW_FLOW', 'ingress', tcp(CLIENT[4], VIP(1), 5000, 80)],
      ['FORWARDED', 'ingress', tcp(CLIENT[4], VIP(1), 5000, 80)],
      ['FORWARDED', 'egress', tcp(POD[4], CLIENT[4], 8080, 5000, 'S.')],
      ['NEW_FLOW', 'ingress', tcp(CLIENT[4], VIP(2), 40000, 80)],
      ['REDIRECTED', 'ingress', tcp(CLIENT[4], VIP(2), 40000, 80)],
      ['REDIRECTED', 'ingress', tcp(REMOTE_POD[4], NODE[4], 8080, 40000, 'S.')],
      ['DROP_UNALLOCATED', 'egress', tcp(NODE[4], '10.96.200.1', 5000, 80)],
      ['TIME_EXCEEDED', 'ingress', packet(CLIENT[4], VIP(2)).ttl(1).tcp(40000, 80, '.').build()],
      [
        'DROP_TTL',
        'ingress',
        packet(CLIENT[4], VIP(2)).ttl(1).ipOptions(Buffer.alloc(4, 1)).tcp(40000, 80, '.').build(),
      ],
      ['NEW_FLOW', 'ingress', tcp(NOWHERE[4], VIP(3), 40001, 80)],
      ['DROP_NO_ROUTE', 'ingress', tcp(REMOTE_POD[4], NODE[4], 8080, 40001, 'S.')],
      ['DROP_NO_SNAT_PORT', 'ingress', tcp(CLIENT[4], VIP(4), 40000, 80)],
      ['REJECT_NO_BACKEND', 'ingress', tcp(CLIENT[4], VIP(5), 5000, 80)],
      ['DROP_REJECT_FAILED', 'ingress', tcp(CLIENT[4], VIP(5), 5000, 80, 'R')],
      ['REJECT_LOST', 'ingress', packet(CLIENT[4], VIP(1)).tcp(5001, 80, '.').build()],
      ['DROP_SOURCE', 'ingress', tcp('127.0.0.1', VIP(1), 5000, 80)],
      ['REJECT_NO_PORT', 'ingress', tcp(CLIENT[4], VIP(1), 5000, 81)],
      ['REJECT_NO_PORT', 'egress', packet(NODE[4], VIP(1)).udp(5000, 80).build()],
      ['PING_ANSWERED', 'ingress', packet(CLIENT[4], VIP(1)).ping().payload('abc').build()],
      ['PING_ANSWERED', 'egress', packet(NODE[4], VIP(1)).ping().build()],
      ['ICMP_ERROR', 'egress', icmpError(POD[4], CLIENT[4], tcp(CLIENT[4], POD[4], 5000, 8080)).build()],
      ['DROP_NO_LOCAL_BACKEND', 'ingress', tcp(CLIENT[4], VIP(6), 5000, 80)],
      ['DROP_SOURCE_RANGE', 'ingress', tcp(CLIENT[4], VIP(7), 5000, 80)],
      ['NEW_FLOW', 'ingress', tcp(CLIENT[4], VIP(8), 5000, 80)],
      ['DROP_NO_SNAT_ADDRESS', 'ingress', tcp(CLIENT[4], VIP(9), 5000, 80)],
      ...Array.from({ length: 6 }, () => ['PIECE_HELD', 'ingress', later] as [string, 'ingress', Buffer]),
      ['DROP_PIECE', 'ingress', later],
      ...Array.from({ length: 6 }, () => ['PIECE_HELD', 'ingress', toNode] as [string, 'ingress', Buffer]),
      ['PIECE_NOT_HELD', 'ingress', toNode],
    ];
    const events = openEvents(rig.pinDirectory, { reasons: ALL_REASONS, oneIn: 1 });
    const expected: Record<string, { packets: number; bytes: number }> = {};
    const told: string[] = [];
    for (const [reason, hook, frame] of steps) {
      expect([reason, rig[hook](frame).reasons]).toEqual([reason, [reason]]);
      const before = expected[reason] ?? { packets: 0, bytes: 0 };
      expected[reason] = { packets: before.packets + 1, bytes: before.bytes + frame.length - 14 };
    }
    expect(rig.counters()).toEqual(expected);
    events.read(1000, (event) => told.push(`${reasons[event.reason]?.name} ${event.bytes} ${event.key.saddr}`));
    events.close();
    expect(told).toEqual(
      steps
        .filter(([name]) => isTold(reasons.findIndex((reason) => reason.name === name)))
        .map(([name, , frame]) => `${name} ${frame.length - 14} ${frame.subarray(26, 30).join('.')}`),
    );
    expect([...Object.keys(expected), ...NOT_REACHED].sort()).toEqual(reasons.map(({ name }) => name).sort());
  });

  it.each([
    ['sent out from the hook', FRONTEND_CLUSTER_IP, remote(REMOTE_POD[4])],
    ['through the stack', FRONTEND_CLUSTER_IP | FRONTEND_SNAT_OUTSIDE, backend(POD[4])],
  ])('leave nothing behind when no port is free: %s', async (_, flags, to) => {
    rig = await createPacketRig({ snatPortMin: 40000, snatPortMax: 40000 });
    rig.serve(service('few', { frontends: [frontend(VIP(1), 80, { flags })], cluster: [to] }));
    rig.ingress(tcp(CLIENT[4], VIP(1), 40000, 80));
    const before = rig.flows('halfOpenFlows').length;
    expect(rig.ingress(tcp('198.51.100.10', VIP(1), 40000, 80)).reasons).toEqual(['DROP_NO_SNAT_PORT']);
    expect(rig.flows('halfOpenFlows')).toHaveLength(before);
  });
});

describe('source NAT beside sockets of the node', () => {
  const through = (protocol: 'tcp' | 'udp') =>
    rig?.ingress(packet(CLIENT[4], VIP(1))[protocol](45000, 80).build()).parsed().sport;
  const serve = async () => {
    rig = await createPacketRig();
    const cluster = [remote(REMOTE_POD[4])];
    rig.serve(
      service('tcp', { frontends: [frontend(VIP(1), 80)], cluster }),
      service('udp', { protocol: 'UDP', frontends: [frontend(VIP(1), 80)], cluster }),
    );
  };

  it('takes no port of a UDP socket', async () => {
    await serve();
    const { createSocket } = await import('node:dgram');
    const socket = createSocket('udp4').bind(45000, NODE[4]);
    await once(socket, 'listening');
    expect(through('udp')).not.toBe(45000);
    expect(through('tcp')).toBe(45000);
    socket.close();
  });

  it('takes no port of a connection to the same backend; a listener does not mind', async () => {
    await serve();
    const { createServer, connect } = await import('node:net');
    const listener = createServer().listen(45000, NODE[4]);
    await once(listener, 'listening');
    expect(through('tcp')).toBe(45000);
    listener.close();
    rig?.remove();
    await serve();
    const connection = connect({ host: REMOTE_POD[4], port: 8080, localAddress: NODE[4], localPort: 45000 });
    connection.on('error', () => {});
    await poll('see the connection begin', () => run('ss', '-Htn', 'state', 'syn-sent').includes(':45000'));
    expect(through('tcp')).not.toBe(45000);
    connection.destroy();
  });
});
