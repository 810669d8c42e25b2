/** XDP carries established flows whose backend is elsewhere; what it lets pass is untouched, and tc carries it. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { PacketBuilder } from '../support/packet/builder.ts';
import { packet } from '../support/packet/builder.ts';
import { onesSum, pseudoHeader } from '../support/packet/checksum.ts';
import { CLIENT, MACS, NODE, POD, REMOTE_POD } from '../support/packet/network.ts';
import { createPacketRig, type Outcome, type PacketRig, type RunOptions } from '../support/packet/rig.ts';
import { backend, frontend, remote, service } from '../support/packet/services.ts';

const VIP = { 4: '10.96.0.10', 6: 'fd00:10:96::a' } as const;
const NEAR = { 4: '10.96.0.11', 6: 'fd00:10:96::b' } as const;
const FAMILIES = [4, 6] as const;
const PROTOCOLS = ['TCP', 'UDP'] as const;
type Family = (typeof FAMILIES)[number];
type Protocol = (typeof PROTOCOLS)[number];
let rig: PacketRig;

beforeAll(async () => {
  rig = await createPacketRig({}, 'xdp');
});
beforeEach(() =>
  rig.serve(
    ...FAMILIES.flatMap((family) =>
      PROTOCOLS.flatMap((protocol) => [
        service(`far-${protocol}-${family}`.toLowerCase(), {
          protocol,
          frontends: [frontend(VIP[family], 80)],
          cluster: [remote(REMOTE_POD[family])],
        }),
        service(`near-${protocol}-${family}`.toLowerCase(), {
          protocol,
          frontends: [frontend(NEAR[family], 80)],
          cluster: [backend(POD[family])],
        }),
      ]),
    ),
  ),
);
afterAll(() => rig?.remove());

/** A packet of the protocol with an odd payload; flags for TCP. */
function segment(
  protocol: Protocol,
  from: string,
  to: string,
  sport: number,
  dport: number,
  flags = '.',
): PacketBuilder {
  const built = packet(from, to);
  return (protocol === 'TCP' ? built.tcp(sport, dport, flags) : built.udp(sport, dport)).payload('odd');
}

/** From the client to the frontend, and from the backend back. */
const there = (family: Family, protocol: Protocol, flags?: string) =>
  segment(protocol, CLIENT[family], VIP[family], 40000, 80, flags);
const back = (family: Family, protocol: Protocol, flags?: string) =>
  segment(protocol, REMOTE_POD[family], NODE[family], 8080, 40000, flags);

/** Both sides have spoken, and both next hops are known. */
function establish(family: Family, protocol: Protocol): void {
  const frames = [
    there(family, protocol, 'S'),
    back(family, protocol, 'S.'),
    there(family, protocol),
    back(family, protocol),
  ].map((builder) => builder.build());
  for (const frame of frames) rig.ingress(frame, { way: 'tc' });
  expect(rig.flows('flows')).toHaveLength(2);
}

/** The checksum that a sender leaves when the device is to fill it in. */
function unfinished(frame: Buffer, family: Family, protocol: Protocol): Buffer {
  const l4 = frame.subarray(family === 4 ? 34 : 54);
  const ends =
    family === 4 ? [frame.subarray(26, 30), frame.subarray(30, 34)] : [frame.subarray(22, 38), frame.subarray(38, 54)];
  const [source, destination] = ends as [Buffer, Buffer];
  const pseudo = pseudoHeader(source, destination, protocol === 'TCP' ? 6 : 17, l4.length);
  l4.writeUInt16BE(onesSum(pseudo), protocol === 'TCP' ? 16 : 6);
  return frame;
}

const summary = ({ verdict, frame }: Outcome) => ({ verdict, frame: frame.toString('hex') });

describe.each(FAMILIES)('IPv%i', (family) => {
  describe.each(PROTOCOLS)('%s', (protocol) => {
    const both: readonly [string, () => PacketBuilder][] = [
      ['the way there', () => there(family, protocol)],
      ['the way back', () => back(family, protocol)],
    ];

    it.each(both)('%s: the same bytes as tc, without an skb', (_, make) => {
      establish(family, protocol);
      const frame = make().build();
      const tc = rig.ingress(frame, { way: 'tc' });
      const xdp = rig.ingress(frame);
      expect(tc).toMatchObject({ hook: 'tc', verdict: 'REDIRECT', reasons: ['REDIRECTED'] });
      expect(xdp).toMatchObject({ hook: 'xdp', verdict: 'REDIRECT', reasons: ['REDIRECTED_XDP'] });
      expect(summary(xdp)).toEqual(summary(tc));
      expect(xdp.parsed()).toMatchObject({ ttl: 63, smac: MACS.node });
    });

    it('counts the packet in its flow', () => {
      establish(family, protocol);
      const frame = there(family, protocol).build();
      const of = () => rig.flows('flows').find(({ key }) => key.daddr === VIP[family])?.flow;
      const before = of();
      rig.ingress(frame);
      expect(of()).toMatchObject({
        packets: (before?.packets ?? 0n) + 1n,
        bytes: (before?.bytes ?? 0n) + BigInt(frame.length - 14),
      });
    });

    it('a connection from its first packet to its last: the same verdicts and bytes as tc alone', () => {
      const frames = [
        there(family, protocol, 'S'),
        back(family, protocol, 'S.'),
        ...[0, 1, 2].flatMap(() => [there(family, protocol), back(family, protocol)]),
        there(family, protocol, 'F.'),
        back(family, protocol, 'F.'),
        there(family, protocol),
      ].map((builder) => builder.build());
      const run = (options: RunOptions) => {
        rig.forgetFlows();
        return frames.map((frame) => rig.ingress(frame, options));
      };
      const tc = run({ way: 'tc' }).map(summary);
      const tables = (['flows', 'halfOpenFlows'] as const).map((table) => rig.flows(table).length);
      const xdp = run({ way: 'xdp' });
      expect(xdp.map(summary)).toEqual(tc);
      expect((['flows', 'halfOpenFlows'] as const).map((table) => rig.flows(table).length)).toEqual(tables);
      expect(xdp.filter(({ hook }) => hook === 'xdp').length).toBeGreaterThanOrEqual(5);
    });

    it('a checksum that is left to the device: passes, and tc completes it', () => {
      establish(family, protocol);
      const frame = unfinished(there(family, protocol).build(), family, protocol);
      expect(rig.ingress(frame)).toMatchObject({ hook: 'tc', reasons: ['REDIRECTED'] });
    });
  });

  const hard: readonly [string, () => Buffer, string][] = [
    ['no hops left', () => there(family, 'TCP').ttl(1).build(), 'TIME_EXCEEDED'],
    ['longer than the MTU', () => there(family, 'TCP').payload(Buffer.alloc(1600)).build(), 'TOO_BIG'],
    [
      'a new connection to a backend here',
      () => segment('TCP', CLIENT[family], NEAR[family], 40000, 80, 'S').build(),
      'NEW_FLOW',
    ],
    [
      'a port without a frontend',
      () => segment('TCP', CLIENT[family], VIP[family], 40000, 81, 'S').build(),
      'REJECT_NO_PORT',
    ],
  ];
  it.each(hard)('%s: left to tc, untouched', (_, make, reason) => {
    establish(family, 'TCP');
    expect(rig.ingress(make())).toMatchObject({ hook: 'tc', reasons: [reason] });
  });

  it.each(PROTOCOLS)('%s: begins a flow to a backend elsewhere, with the entries that tc makes', (protocol) => {
    const frame = there(family, protocol, 'S').build();
    const entries = () => {
      const rows = rig.flows('halfOpenFlows').map(({ key, flow }) => ({
        key,
        flow: { ...flow, lastSeen: 0, created: 0, nexthopStamp: 0 },
      }));
      rig.forgetFlows();
      return rows.sort((x, y) => x.key.dport - y.key.dport);
    };
    const tc = rig.ingress(frame, { way: 'tc' });
    const made = entries();
    const xdp = rig.ingress(frame);
    expect(xdp).toMatchObject({ hook: 'xdp', verdict: 'REDIRECT', reasons: ['NEW_FLOW'] });
    expect(summary(xdp)).toEqual(summary(tc));
    expect(made).toHaveLength(2);
    expect(entries()).toEqual(made);
  });

  it('a Service with backends here and elsewhere: each client gets the backend that tc alone gives it (R-22)', () => {
    const address = '10.1.2.77';
    const mixed = family === 4 ? [address, POD[4]] : ['fd00:1:2::77', POD[6]];
    rig.serve(
      service('mixed', {
        protocol: 'UDP',
        frontends: [frontend(VIP[family], 80)],
        cluster: mixed.map((to) => backend(to, { local: to === POD[family] })),
      }),
    );
    const backendOf = (frame: Buffer, options: RunOptions) => {
      rig.forgetFlows();
      return rig.ingress(frame, options).parsed().destination;
    };
    const chosen = Array.from({ length: 100 }, (_, i) => {
      const frame = segment('UDP', CLIENT[family], VIP[family], 20000 + i, 80).build();
      return [backendOf(frame, { way: 'tc' }), backendOf(frame, {})];
    });
    expect(chosen.map(([, xdp]) => xdp)).toEqual(chosen.map(([tc]) => tc));
    // Of 100 fair coins fewer than 20 heads fall once in 10^9 times.
    for (const to of mixed) expect(chosen.filter(([tc]) => tc === to).length).toBeGreaterThan(20);
  });

  it('a flow whose time is over begins anew', () => {
    rig.ingress(there(family, 'UDP').build());
    for (const row of rig.flows('halfOpenFlows'))
      rig.putFlow('halfOpenFlows', { ...row, flow: { ...row.flow, lastSeen: (row.flow.lastSeen - 31_000) >>> 0 } });
    expect(rig.ingress(there(family, 'UDP').build())).toMatchObject({ hook: 'xdp', reasons: ['NEW_FLOW'] });
    expect(rig.flows('halfOpenFlows')).toHaveLength(2);
  });

  it('a next hop that holds no more: tc looks it up, then XDP goes on', () => {
    establish(family, 'TCP');
    const frame = there(family, 'TCP').build();
    const { view } = rig.maps.control;
    view.writeUInt32LE(view.readUInt32LE(0) + 1, 0);
    expect(['tc', 'xdp']).toEqual([rig.ingress(frame).hook, rig.ingress(frame).hook]);
    expect(rig.ingress(frame).parsed().dmac).toBe(MACS.neighbour);
  });

  it('a device behind which XDP is not attached: left to tc', () => {
    establish(family, 'TCP');
    for (const row of rig.flows('flows'))
      rig.putFlow('flows', { ...row, flow: { ...row.flow, ifindex: rig.ifindex('pod0') } });
    expect(rig.ingress(there(family, 'TCP').build()).hook).toBe('tc');
  });

  it('a frame with a VLAN tag: left alone, the tag is another network', () => {
    establish(family, 'TCP');
    const frame = there(family, 'TCP').build();
    const tagged = Buffer.concat([frame.subarray(0, 12), Buffer.from([0x81, 0, 0, 100]), frame.subarray(12)]);
    const out = rig.ingress(tagged, { way: 'xdp' });
    expect(out.hook).toBe('tc');
  });
});

it('UDP over IPv4 without a checksum stays without one', () => {
  establish(4, 'UDP');
  const frame = packet(CLIENT[4], VIP[4]).udp(40000, 80, { noChecksum: true }).payload('odd').build();
  const xdp = rig.ingress(frame);
  expect(xdp.hook).toBe('xdp');
  expect(summary(xdp)).toEqual(summary(rig.ingress(frame, { way: 'tc' })));
  expect(xdp.parsed().l4.readUInt16BE(6)).toBe(0);
});

it('IPv4 options: left to tc, untouched', () => {
  establish(4, 'TCP');
  const frame = there(4, 'TCP')
    .ipOptions(Buffer.from([1, 1, 1, 0]))
    .build();
  const outcome = rig.ingress(frame);
  expect(outcome).toMatchObject({ hook: 'tc', verdict: 'REDIRECT' });
  expect(outcome.tuple()).toBe(`${NODE[4]} 40000 > ${REMOTE_POD[4]} 8080`);
});
