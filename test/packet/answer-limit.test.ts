/** Resets and ICMP errors that are made here are limited in rate, for each address and in all; about pieces there are none. */
import { cpus } from 'node:os';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { packet } from '../support/packet/builder.ts';
import { CLIENT, REMOTE_POD } from '../support/packet/network.ts';
import { createPacketRig, type Outcome, type PacketRig } from '../support/packet/rig.ts';
import { frontend, remote, service } from '../support/packet/services.ts';

const EMPTY = { 4: '203.0.113.1', 6: 'fd13::1' } as const;
const FAR = { 4: '203.0.113.2', 6: 'fd13::2' } as const;
/** The n-th of many others. */
const OTHER = {
  4: (n: number) => `198.51.${101 + (n >> 8)}.${n & 255}`,
  6: (n: number) => `2001:db8:a::${(n + 1).toString(16)}`,
} as const;
const LIMITED = { verdict: 'DROP', reasons: ['DROP_ANSWER_LIMIT'] };
/** So many that a busy machine does not begin another second: the budget of the first is all that counts. */
const PER_CLIENT = 5;
const PER_SECOND = 8;

let rig: PacketRig;
beforeEach(async () => {
  rig?.remove();
  // A second of 100 s: no other one begins while this runs.
  rig = await createPacketRig({
    answersPerClient: PER_CLIENT,
    answersPerSecond: PER_SECOND,
    jiffiesPerSecond: 100_000,
  });
  rig.serve(
    ...([4, 6] as const).flatMap((family) =>
      (['TCP', 'UDP'] as const).flatMap((protocol) => [
        service(`empty-${protocol}-${family}`.toLowerCase(), { protocol, frontends: [frontend(EMPTY[family], 80)] }),
        service(`far-${protocol}-${family}`.toLowerCase(), {
          protocol,
          frontends: [frontend(FAR[family], 80)],
          cluster: [remote(REMOTE_POD[family])],
        }),
      ]),
    ),
  );
});
afterAll(() => rig?.remove());

describe.each([4, 6] as const)('IPv%i', (family) => {
  const sends = {
    'a reset': (from: string) => packet(from, EMPTY[family]).tcp(40_000, 80, 'S'),
    'port unreachable': (from: string) => packet(from, EMPTY[family]).udp(40_000, 80),
    'too big': (from: string) => packet(from, FAR[family]).udp(40_000, 80).payload(Buffer.alloc(1600)),
    'time exceeded': (from: string) => packet(from, FAR[family]).ttl(1).udp(40_000, 80),
  };

  it.each(Object.entries(sends))('%s', (_, make) => {
    const send = (from: string): Outcome => rig.ingress(make(from).build());
    for (let i = 0; i < PER_CLIENT; i++) expect(send(CLIENT[family]).verdict).toBe('REDIRECT');
    expect(send(CLIENT[family])).toMatchObject(LIMITED);
    // Each CPU has a budget of its own, and this may run on any.
    const most = PER_SECOND * cpus().length;
    const others = Array.from({ length: most + 1 }, (_, i) => send(OTHER[family](i)));
    const answered = others.filter(({ verdict }) => verdict === 'REDIRECT').length;
    expect(answered).toBeGreaterThanOrEqual(PER_SECOND - PER_CLIENT);
    expect(answered).toBeLessThanOrEqual(most - PER_CLIENT);
    expect(others.find(({ verdict }) => verdict === 'DROP')).toMatchObject(LIMITED);
  });

  it('flows and pings have no limit', () => {
    for (let i = 0; i < 2 * PER_SECOND; i++) {
      expect(rig.ingress(packet(CLIENT[family], FAR[family]).udp(40_001, 80).build()).verdict).toBe('REDIRECT');
      expect(rig.ingress(packet(CLIENT[family], FAR[family]).ping().build()).verdict).toBe('REDIRECT');
    }
  });
});

it('another second has another budget', async () => {
  rig.remove();
  rig = await createPacketRig({ answersPerClient: 1, answersPerSecond: 1, jiffiesPerSecond: 1 });
  rig.serve(service('empty', { frontends: [frontend(EMPTY[4], 80)] }));
  const send = () => rig.ingress(packet(CLIENT[4], EMPTY[4]).tcp(40_000, 80, 'S').build()).verdict;
  expect(send()).toBe('REDIRECT');
  await expect.poll(send, { timeout: 10_000 }).toBe('REDIRECT');
});

it('nobody is told about a later piece of a datagram', () => {
  rig.ingress(
    packet(CLIENT[4], EMPTY[4]).identification(9).fragment(0, true).udp(40_000, 80).payload('8 bytes.').build(),
  );
  const later = packet(CLIENT[4], EMPTY[4]).identification(9).fragment(2).protocol(17, Buffer.alloc(64)).build();
  expect(rig.ingress(later)).toMatchObject({ verdict: 'DROP', reasons: ['DROP_REJECT_FAILED'] });
});
