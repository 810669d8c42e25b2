/** Nothing to forward to: refused at once, or dropped in silence where a policy says so (R-28…R-30). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  FRONTEND_CLUSTER_IP,
  FRONTEND_EXTERNAL_DROP,
  FRONTEND_EXTERNAL_LOCAL,
  FRONTEND_INTERNAL_DROP,
  FRONTEND_LOAD_BALANCER,
} from '../../maps-schema/gen/codecs.ts';
import { packet } from '../support/packet/builder.ts';
import { CLIENT, type DeviceName, NODE, POD } from '../support/packet/network.ts';
import { parsePacket } from '../support/packet/parser.ts';
import { createPacketRig, type Outcome, type PacketRig } from '../support/packet/rig.ts';
import { backend, frontend, service } from '../support/packet/services.ts';

const VIP = { 4: '10.96.0.10', 6: 'fd00:10:96::a' } as const;
const BALANCER = { 4: '203.0.113.1', 6: 'fd13::1' } as const;
const FAMILIES = [4, 6] as const;
const PROTOCOLS = ['TCP', 'UDP'] as const;
let rig: PacketRig;

beforeAll(async () => {
  rig = await createPacketRig();
  rig.serve(
    ...FAMILIES.flatMap((family) =>
      PROTOCOLS.map((protocol) =>
        service(`none-${protocol}-${family}`.toLowerCase(), { protocol, frontends: [frontend(VIP[family], 80)] }),
      ),
    ),
  );
});
afterAll(() => rig?.remove());

function expectRefusal(out: Outcome, family: 4 | 6, sent: Buffer) {
  expect(out).toMatchObject({ verdict: 'REDIRECT', reasons: ['REJECT_NO_BACKEND'] });
  const parsed = out.parsed();
  expect(parsed).toMatchObject({ family, source: VIP[family], destination: CLIENT[family], ttl: 64 });
  expect([parsed.dmac, parsed.smac]).toEqual(['02:00:00:00:00:aa', '02:00:00:00:00:bb']);
  expect(out.frame.readUInt16BE(12)).toBe(sent.readUInt16BE(12));
  expect(rig.flows('halfOpenFlows')).toEqual([]);
  return parsed;
}

describe.each(FAMILIES)('IPv%i', (family) => {
  const syn = () => packet(CLIENT[family], VIP[family]);

  it.each([
    ['SYN', 'S', { seq: 1000 }, '', { seq: 0, ack: 1001, flags: 0x14 }],
    ['SYN with options', 'S', { seq: 5, options: Buffer.alloc(20, 1) }, '', { seq: 0, ack: 6, flags: 0x14 }],
    ['SYN with data', 'S', { seq: 1000 }, 'hello', { seq: 0, ack: 1006, flags: 0x14 }],
    ['SYN at the end of the sequence space', 'S', { seq: 0xffffffff }, 'hello', { seq: 0, ack: 5, flags: 0x14 }],
    ['FIN', 'F', { seq: 7 }, '', { seq: 0, ack: 8, flags: 0x14 }],
    ['ACK', '.', { seq: 9, ack: 4242 }, 'data', { seq: 4242, ack: 0, flags: 0x04 }],
    ['FIN and ACK', 'F.', { seq: 9, ack: 4243 }, 'x', { seq: 4243, ack: 0, flags: 0x04 }],
  ] as const)('a reset answers %s (RFC 9293 3.10.7.1)', (_, flags, options, payload, wanted) => {
    const sent = syn().tcp(40000, 80, flags, options).payload(payload).build();
    const { l4, sport, dport } = expectRefusal(rig.ingress(sent), family, sent);
    expect({ sport, dport, length: l4.length }).toEqual({ sport: 80, dport: 40000, length: 20 });
    expect({ seq: l4.readUInt32BE(4), ack: l4.readUInt32BE(8), flags: l4[13] }).toEqual(wanted);
    expect(l4[12]).toBe(0x50);
  });

  it('counts no Ethernet padding as data', () => {
    const sent = syn().tcp(40000, 80, 'S', { seq: 1000 }).build();
    const padded = Buffer.concat([sent, Buffer.alloc(6)]);
    expect(expectRefusal(rig.ingress(padded), family, padded).l4.readUInt32BE(8)).toBe(1001);
  });

  it('never answers a reset', () => {
    const out = rig.ingress(syn().tcp(40000, 80, 'R').build());
    expect(out).toMatchObject({ verdict: 'DROP', reasons: ['DROP_REJECT_FAILED'] });
  });

  it.each(['', 'x', 'a question of some length'])('port unreachable answers UDP with payload "%s"', (payload) => {
    const sent = syn().udp(40000, 80).payload(payload).build();
    const { l4, proto } = expectRefusal(rig.ingress(sent), family, sent);
    expect([proto, l4[0], l4[1]]).toEqual(family === 4 ? [1, 3, 3] : [58, 1, 4]);
    expect(l4.readUInt32BE(4)).toBe(0);
    // The error carries the network header and the first eight bytes after it, as they were sent.
    const inner = l4.subarray(8);
    expect(inner.equals(sent.subarray(14, 14 + inner.length))).toBe(true);
    expect(inner.length).toBe((family === 4 ? 20 : 40) + 8);
    expect(parsePacket(inner, false)).toMatchObject({ source: CLIENT[family], destination: VIP[family], dport: 80 });
  });

  it.each(PROTOCOLS)('drops %s, and counts it, when other headers stand before the transport header', (protocol) => {
    const sent = family === 4 ? syn().ipOptions(Buffer.alloc(4, 1)) : syn().extension(60);
    const out = rig.ingress((protocol === 'TCP' ? sent.tcp(40000, 80) : sent.udp(40000, 80)).build());
    expect(out).toMatchObject({ verdict: 'DROP', reasons: ['DROP_REJECT_FAILED'] });
  });
});

describe('policies that have nobody here', () => {
  const LOCAL = FRONTEND_LOAD_BALANCER | FRONTEND_EXTERNAL_LOCAL | FRONTEND_EXTERNAL_DROP;
  const ALIKE = [
    ['a client outside', CLIENT[4], 'node0'],
    ['a pod', '10.1.1.6', 'pod0'],
    ['the node', NODE[4], 'node0'],
  ] as const;
  const dial = (client: string, vip: string, device: DeviceName) =>
    rig[client === NODE[4] ? 'egress' : 'ingress'](packet(client, vip).tcp(40000, 80).build(), { device });

  it.each(ALIKE)('internal Local: %s that dials the cluster IP', (_, client, device) => {
    const flags = FRONTEND_CLUSTER_IP | FRONTEND_INTERNAL_DROP;
    rig.serve(
      service('local', {
        frontends: [frontend(VIP[4], 80, { flags, internal: 'local' })],
        cluster: [backend(POD[4])],
      }),
    );
    const out = dial(client, VIP[4], device);
    const inside = client !== CLIENT[4];
    expect(out).toMatchObject(
      inside ? { verdict: 'DROP', reasons: ['DROP_NO_LOCAL_BACKEND'] } : { verdict: 'NEXT', reasons: ['NEW_FLOW'] },
    );
  });

  it.each(ALIKE)('external Local: %s that dials the load balancer (R-30, R-42)', (_, client, device) => {
    rig.serve(
      service('local', {
        frontends: [frontend('203.0.113.1', 80, { flags: LOCAL, external: 'local' })],
        cluster: [backend(POD[4])],
      }),
    );
    const out = dial(client, '203.0.113.1', device);
    const inside = client !== CLIENT[4];
    expect(out).toMatchObject(
      inside
        ? { verdict: client === NODE[4] ? 'REDIRECT' : 'NEXT', reasons: ['NEW_FLOW'] }
        : { verdict: 'DROP', reasons: ['DROP_NO_LOCAL_BACKEND'] },
    );
  });
});

/** Addresses and ports are those that the client dialled, the other way round; checksums hold. */
describe.each(FAMILIES)('a port that a cluster IP does not have is refused, IPv%i (R-32)', (family) => {
  beforeAll(() => {
    rig.serve(
      service('tcp', { frontends: [frontend(VIP[family], 80)], cluster: [backend(POD[family])] }),
      service('balancer', {
        frontends: [frontend(BALANCER[family], 80, { flags: FRONTEND_LOAD_BALANCER })],
        cluster: [backend(POD[family])],
      }),
    );
  });

  const from = { ingress: CLIENT[family], egress: NODE[family] } as const;
  describe.each(['ingress', 'egress'] as const)('%s', (hook) => {
    const make = (to: string = VIP[family]) => packet(from[hook], to);

    it('TCP, with a reset', () => {
      const out = rig[hook](make().tcp(40000, 81).build());
      expect(out).toMatchObject({ verdict: 'REDIRECT', reasons: ['REJECT_NO_PORT'] });
      expect(out.tuple()).toBe(`${VIP[family]} 81 > ${from[hook]} 40000`);
      expect(out.parsed().l4[13]).toBe(0x14);
    });

    it.each(['UDP', 'SCTP'] as const)('%s on the number of a TCP port, with port unreachable', (protocol) => {
      const sent = (protocol === 'UDP' ? make().udp(40000, 80) : make().sctp(40000, 80)).payload('question').build();
      const out = rig[hook](sent);
      expect(out).toMatchObject({ verdict: 'REDIRECT', reasons: ['REJECT_NO_PORT'] });
      const { source, destination, proto, l4 } = out.parsed();
      expect({ source, destination }).toEqual({ source: VIP[family], destination: from[hook] });
      expect([proto, l4[0], l4[1]]).toEqual(family === 4 ? [1, 3, 3] : [58, 1, 4]);
      const quoted = l4.subarray(8);
      expect(quoted.equals(sent.subarray(14, 14 + (family === 4 ? 20 : 40) + 8))).toBe(true);
    });

    it('not so on an address of a load balancer alone', () => {
      const sent = make(BALANCER[family]).tcp(40000, 81).build();
      const out = rig[hook](Buffer.from(sent));
      expect(out).toMatchObject({ verdict: 'NEXT', reasons: [] });
      expect(out.frame.equals(sent)).toBe(true);
    });
  });
});
