/** What is not ours goes on untouched, byte for byte. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packet } from '../support/packet/builder.ts';
import { BRIDGE, CLIENT, NODE, NODE_SECOND, POD, REMOTE_POD } from '../support/packet/network.ts';
import { createPacketRig, type Outcome, type PacketRig } from '../support/packet/rig.ts';
import { backend, frontend, service } from '../support/packet/services.ts';

const VIP = { 4: '10.96.0.10', 6: 'fd00:10:96::a' } as const;
let rig: PacketRig;

beforeAll(async () => {
  rig = await createPacketRig();
  rig.serve(
    ...([4, 6] as const).flatMap((family) => [
      service(`tcp${family}`, { frontends: [frontend(VIP[family], 80)], cluster: [backend(POD[family])] }),
      service(`node${family}`, {
        frontends: [frontend(family === 4 ? '0.0.0.0' : '::', 30080)],
        cluster: [backend(POD[family])],
      }),
    ]),
  );
});
afterAll(() => rig?.remove());

const arp = () => {
  const frame = Buffer.alloc(42);
  frame.writeUInt16BE(0x0806, 12);
  frame.writeUInt16BE(1, 14);
  frame.writeUInt16BE(0x0800, 16);
  return frame;
};

/** Cuts a frame, as a device would give it to us. */
const cut = (frame: Buffer, length: number) => Buffer.from(frame.subarray(0, length));

/** Writes a byte of the network header. */
const poke = (frame: Buffer, offset: number, value: number) => {
  frame[14 + offset] = value;
  return frame;
};

/** The checksum is nobody's business here. */
const echoReply = (type: number) => Buffer.from([type, 0, 0, 0, 0, 7, 0, 1]);

const v4 = () => packet(CLIENT[4], VIP[4]);
const v6 = () => packet(CLIENT[6], VIP[6]);

const cases: readonly [string, Buffer][] = [
  ['TCP to a pod', packet(CLIENT[4], POD[4]).tcp(40000, 8080).payload('x').build()],
  ['TCP to a pod, IPv6', packet(CLIENT[6], POD[6]).tcp(40000, 8080).payload('x').build()],
  ['an answer of a pod that is no backend', packet(REMOTE_POD[4], CLIENT[4]).tcp(8080, 40000, 'S.').build()],
  ['another protocol, IPv6', v6().protocol(47, Buffer.alloc(32)).build()],
  ['a NodePort on an address where it does not answer', packet(CLIENT[4], NODE_SECOND[4]).tcp(40000, 30080).build()],
  ['a NodePort on the bridge', packet(CLIENT[6], BRIDGE[6]).tcp(40000, 30080).build()],
  ['a NodePort on an address of another node (R-59)', packet(CLIENT[4], '192.0.2.2').tcp(40000, 30080).build()],
  ['SSH to the node', packet(CLIENT[4], NODE[4]).tcp(40000, 22).build()],
  ['ARP', arp()],
  ['a later fragment that is for no Service', packet(CLIENT[4], POD[4]).fragment(185).tcp(40000, 80).build()],
  [
    'the same, IPv6',
    packet(CLIENT[6], POD[6])
      .extension(44, Buffer.from([0, 0, 5, 0xc8, 0, 0, 0, 1]))
      .tcp(40000, 80)
      .build(),
  ],
  ['a truncated TCP header', cut(v4().tcp(40000, 80).build(), 14 + 20 + 19)],
  ['a truncated TCP header, IPv6', cut(v6().tcp(40000, 80).build(), 14 + 40 + 19)],
  ['a truncated UDP header', cut(v4().udp(40000, 80).build(), 14 + 20 + 7)],
  ['a packet that ends after the IPv4 header', cut(v4().tcp(40000, 80).build(), 14 + 20)],
  ['a packet that ends after the IPv6 header', cut(v6().tcp(40000, 80).build(), 14 + 40)],
  ['IPv4 options that end after the packet', cut(poke(v4().tcp(40000, 80).build(), 0, 0x4f), 14 + 40)],
  ['an IPv4 header length below 5', poke(v4().tcp(40000, 80).build(), 0, 0x44)],
  ['an IPv4 header length of 0', poke(v4().tcp(40000, 80).build(), 0, 0x40)],
  ['an extension header that ends after the packet', cut(v6().extension(0).tcp(40000, 80).build(), 14 + 43)],
  ['an authentication header', v6().extension(51, Buffer.alloc(16)).tcp(40000, 80).build()],
  [
    'more extension headers than are walked',
    [...Array(5)]
      .reduce((p) => p.extension(60), v6())
      .tcp(40000, 80)
      .build(),
  ],
];

/** Where a packet meets the programs; `forwarded`: out by node0 after it came in by the pods' device. */
const PLACES = {
  'as it comes in': (frame: Buffer) => rig.ingress(frame),
  'as the node sends it': (frame: Buffer) => rig.egress(frame),
  'as it is forwarded': (frame: Buffer) => rig.egress(frame, { from: 'pod0' }),
} as const;

function expectUntouched({ verdict, frame, reasons }: Outcome, before: Buffer): void {
  expect({ verdict, reasons }).toEqual({ verdict: 'NEXT', reasons: [] });
  expect(frame.equals(before)).toBe(true);
  expect(rig.flows('halfOpenFlows')).toEqual([]);
}

describe.each(Object.keys(PLACES) as (keyof typeof PLACES)[])('%s', (place) => {
  it.each(cases)('leaves %s alone', (_, frame) => {
    const before = Buffer.from(frame);
    expectUntouched(PLACES[place](frame), before);
  });
});

it.each([
  ['TCP', v4().tcp(40000, 80).build()],
  ['TCP, IPv6', v6().tcp(40000, 80).build()],
  ['TCP to an undefined port', v4().tcp(40000, 81).build()],
  ['UDP to an undefined port, IPv6', v6().udp(40000, 80).build()],
])('leaves %s for a frontend alone where it is only forwarded', (_, frame) => {
  const before = Buffer.from(frame);
  expectUntouched(rig.egress(frame, { from: 'pod0' }), before);
});

it.each([
  ['an echo reply', packet(CLIENT[4], VIP[4]).protocol(1, echoReply(0)).build()],
  ['an echo reply, IPv6', packet(CLIENT[6], VIP[6]).protocol(58, echoReply(129)).build()],
  ['a ping to a pod', packet(CLIENT[4], POD[4]).ping().build()],
  ['a ping to the node, IPv6', packet(CLIENT[6], NODE[6]).ping().build()],
  ['a ping with IPv4 options', v4().ipOptions(Buffer.alloc(4, 1)).ping().build()],
  ['a ping with an extension header', v6().extension(60).ping().build()],
  ['a fragment of a ping', v4().fragment(0, true).ping().build()],
])('answers pings, but not %s', (_, frame) => {
  for (const hook of ['ingress', 'egress'] as const) {
    const before = Buffer.from(frame);
    expectUntouched(rig[hook](frame), before);
  }
});
