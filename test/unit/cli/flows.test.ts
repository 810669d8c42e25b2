import { expect, test } from 'vitest';
import {
  FLOW_CLOSING_FIN,
  FLOW_DSR,
  FLOW_GENEVE,
  FLOW_REDIRECT,
  FLOW_REPLY,
  FLOW_SNAT,
  FLOW_STAGED,
  HOOK_EGRESS,
  HOOK_INGRESS,
  sockFlow,
  sockKey,
} from '../../../maps-schema/gen/codecs.ts';
import type { Kernel } from '../../../src/cli/kernel.ts';
import { secondsSince } from '../../../src/cli/views/flows.ts';
import { createMaps, kernelWith, put, putFlow, putName, putSlot, sluice } from './fake-kernel.ts';

const clock: Partial<Kernel> = { readClock: async () => ({ now: 10_000, jiffiesPerSecond: 100 }) };

/** The three ways of bpf/lib/flow.h: through the stack, the same with source NAT, sent out from the hook. */
function flows() {
  const maps = createMaps();
  putName(maps, 1, 'shop/web', 'http');
  putName(maps, 2, 'shop/dns');
  putSlot(maps, 1, {});
  const C = '192.0.2.9';
  const V = '10.96.0.1';
  const B = '10.244.0.1';
  const S = '172.16.0.1';
  const stack = {
    saddr: C,
    sport: 1000,
    daddr: B,
    dport: 8080,
    created: 1000,
    lastSeen: 9000,
    packets: 3n,
    bytes: 300n,
  };
  putFlow(maps.flows, { saddr: C, sport: 1000, daddr: V, dport: 80 }, stack);
  const answer = { saddr: V, sport: 80, daddr: C, flags: FLOW_REPLY, packets: 2n, bytes: 2000n };
  const out = { saddr: B, sport: 8080, daddr: C, hook: HOOK_EGRESS };
  putFlow(maps.flows, { ...out, dport: 1000 }, { ...answer, dport: 1000, lastSeen: 9500 });

  const staged = { ...stack, sport: 2000, flags: FLOW_STAGED };
  putFlow(maps.flows, { saddr: C, sport: 2000, daddr: V, dport: 80 }, staged);
  const left = { saddr: C, sport: 2000, daddr: B, dport: 8080, hook: HOOK_EGRESS };
  putFlow(maps.flows, left, { saddr: S, sport: 2001, daddr: B, dport: 8080, flags: FLOW_SNAT });
  const back = { saddr: B, sport: 8080, daddr: S, dport: 2001, hook: HOOK_INGRESS };
  putFlow(maps.flows, back, { daddr: C, dport: 2000, flags: FLOW_REPLY | FLOW_SNAT | FLOW_STAGED });
  putFlow(
    maps.flows,
    { ...out, dport: 2000 },
    { ...answer, dport: 2000, flags: FLOW_REPLY, closing: FLOW_CLOSING_FIN },
  );

  const sent = { saddr: S, sport: 3000, daddr: '10.244.1.2', dport: 8080, flags: FLOW_SNAT | FLOW_REDIRECT };
  const ids = { backendId: 2, backendGeneration: 7, created: 9990, lastSeen: 9990 };
  putFlow(maps.halfOpenFlows, { saddr: C, sport: 3000, daddr: V, dport: 80 }, { ...sent, ...ids });
  putFlow(
    maps.halfOpenFlows,
    { saddr: '10.244.1.2', sport: 8080, daddr: S, dport: 3000, hook: HOOK_INGRESS },
    { ...answer, dport: 3000, flags: FLOW_REPLY | FLOW_SNAT | FLOW_REDIRECT, packets: 0n, bytes: 0n, lastSeen: 9990 },
  );
  const query = { saddr: 'fd00::9', sport: 53_000, daddr: 'fd00::a', dport: 53, proto: 17 };
  const resolver = { saddr: 'fd00::9', sport: 53_000, daddr: 'fd00::53', dport: 53, servicePortId: 2 };
  putFlow(maps.flows, query, { ...resolver, lastSeen: 10_050, created: 10_050 });
  return maps;
}

test('flow list: forward entries joined with those of the answers', async () => {
  const { code, out } = await sluice(['flow', 'list'], kernelWith(flows(), clock));
  expect(code).toBe(0);
  expect(out).toBe(
    [
      'SERVICE    PROTO   CLIENT            FRONTEND       BACKEND           STATE         SOURCE-NAT        AGE   IDLE   PACKETS   BYTES',
      'shop/dns   UDP     [fd00::9]:53000   [fd00::a]:53   [fd00::53]:53     established   -                 0s    0s           1      60',
      'shop/web   TCP     192.0.2.9:1000    10.96.0.1:80   10.244.0.1:8080   established   -                 90s   5s           5    2300',
      'shop/web   TCP     192.0.2.9:2000    10.96.0.1:80   10.244.0.1:8080   closing       172.16.0.1:2001   90s   10s          5    2300',
      'shop/web   TCP     192.0.2.9:3000    10.96.0.1:80   10.244.1.2:8080   half-open     172.16.0.1:3000   0s    0s           1      60',
      '',
    ].join('\n'),
  );
});

test('flow list -o json: both directions, path and backend state', async () => {
  const { out } = await sluice(['flow', 'list', '-o', 'json', '--service', 'shop/web'], kernelWith(flows(), clock));
  const { items } = JSON.parse(out) as { items: Record<string, unknown>[] };
  expect(items[0]).toEqual({
    namespace: 'shop',
    name: 'web',
    port: 'http',
    protocol: 'TCP',
    client: '192.0.2.9:1000',
    frontend: '10.96.0.1:80',
    backend: '10.244.0.1:8080',
    state: 'established',
    backendServes: true,
    redirected: false,
    ageSeconds: 90,
    idleSeconds: 5,
    fromClient: { packets: 3, bytes: 300 },
    fromBackend: { packets: 2, bytes: 2000 },
    servicePortId: 1,
    backendId: 1,
  });
  expect(items[2]).toMatchObject({ redirected: true, backendServes: false });
  expect(items).toHaveLength(3);
});

test('without a clock there are no times', async () => {
  const { out } = await sluice(['flow', 'list', '--service', 'dns'], kernelWith(flows()));
  expect(out.split('\n')[1]).toMatch(/established {3}- +- +- +1 +60$/);
});

test.each([
  ['10.244.1.2', 1],
  ['10.244.0.1:8080', 2],
  ['10.244.0.1:81', 0],
  ['[fd00:0::53]:53', 1],
  ['fd00::53', 1],
])('flow list --backend %s', async (backend, count) => {
  const { out } = await sluice(['flow', 'list', '-o', 'json', '--backend', backend], kernelWith(flows()));
  expect(JSON.parse(out).items).toHaveLength(count);
});

test('wrong values name the flag', async () => {
  expect(await sluice(['flow', 'list', '--backend', 'web'])).toMatchObject({
    code: 2,
    err: expect.stringContaining("--backend: 'web' is no address"),
  });
  expect(await sluice(['flow', 'list', '--limit', '0'])).toMatchObject({
    code: 2,
    err: expect.stringContaining('--limit'),
  });
});

test('--limit stops and says so; an exact limit says nothing', async () => {
  const kernel = kernelWith(flows());
  const cut = await sluice(['flow', 'list', '-o', 'json', '--limit', '2'], kernel);
  expect(JSON.parse(cut.out).items).toHaveLength(2);
  expect(cut.err).toBe('stopped after 2: there are more\n');
  expect((await sluice(['flow', 'list', '--limit', '4'], kernel)).err).toBe('');
});

test('a Service without flows is no failure, one that is not there is', async () => {
  const maps = flows();
  putName(maps, 3, 'shop/idle');
  const run = (name: string) => sluice(['flow', 'list', '--service', name], kernelWith(maps));
  expect(await run('shop/idle')).toMatchObject({ code: 0, err: 'no flows\n' });
  expect(await run('shop/wep')).toMatchObject({
    code: 1,
    err: 'sluice: no flows of a Service shop/wep in the kernel\n',
  });
});

test('a flow that is being promoted is listed once', async () => {
  const maps = createMaps();
  putFlow(maps.flows, {}, {});
  putFlow(maps.halfOpenFlows, {}, {});
  const { out } = await sluice(['flow', 'list', '-o', 'json'], kernelWith(maps));
  expect(JSON.parse(out).items).toMatchObject([{ state: 'established' }]);
});

test('flow list --sockets: sockets that were pointed at a backend', async () => {
  const maps = flows();
  const peer = { flags: 0, backendId: 1, backendGeneration: 1, datagrams: 0 };
  const udp = { cookie: 0x2an, proto: 17 };
  const tcp = { address: '10.244.0.1', port: 8080, cookie: 0x11n, proto: 6 };
  const web = { address: '10.96.0.1', port: 80, servicePortId: 1, lastSeen: 4000 };
  put(maps.sockPeers, sockKey, tcp, sockFlow, { ...peer, ...web });
  const frontend = { address: 'fd00::a', port: 53 };
  const backend = { address: 'fd00::53', port: 53 };
  const dns = { ...peer, servicePortId: 2 };
  put(maps.sockPeers, sockKey, { ...udp, ...backend }, sockFlow, { ...dns, ...frontend, lastSeen: 1000 });
  put(maps.sockFlows, sockKey, { ...udp, ...frontend }, sockFlow, { ...dns, ...backend, lastSeen: 9900 });
  const { out } = await sluice(['flow', 'list', '--sockets'], kernelWith(maps, clock));
  expect(out).toBe(
    [
      'SERVICE    PROTO   SOCKET   FRONTEND       BACKEND           IDLE',
      'shop/dns   UDP     2a       [fd00::a]:53   [fd00::53]:53     1s',
      'shop/web   TCP     11       10.96.0.1:80   10.244.0.1:8080   60s',
      '',
    ].join('\n'),
  );
  const filtered = await sluice(['flow', 'list', '--sockets', '--backend', 'fd00::53', '-o', 'json'], kernelWith(maps));
  expect(JSON.parse(filtered.out).items).toMatchObject([{ cookie: '2a' }]);
});

test.each([
  [1000, 500, 5],
  [1000, 1100, 0],
  [100, 2 ** 32 - 100, 2],
  [0x90000000, 0, Math.floor(0x90000000 / 100)],
])('jiffies %i, stamp %i: %i s ago, also over the wrap', (now, then, seconds) => {
  expect(secondsSince(then, { now, jiffiesPerSecond: 100 })).toBe(seconds);
});

test('flow list -o wide: flows with direct return say how, and have no source NAT', async () => {
  const maps = createMaps();
  putName(maps, 1, 'shop/web', 'http');
  const client = (sport: number) => ({ saddr: '192.0.2.9', sport, daddr: '203.0.113.1', dport: 80 });
  const sent = { saddr: '172.16.0.2', daddr: '10.244.1.2', dport: 8080 };
  putFlow(maps.flows, client(1), { ...sent, sport: 1, flags: FLOW_DSR | FLOW_REDIRECT | FLOW_GENEVE });
  putFlow(maps.flows, client(2), { ...sent, sport: 2, flags: FLOW_DSR | FLOW_REDIRECT });
  putFlow(maps.flows, client(3), { daddr: '10.244.0.2', dport: 8080, sport: 3, flags: FLOW_DSR, backendId: 0 });
  const { out } = await sluice(['flow', 'list', '-o', 'json'], kernelWith(maps, clock));
  const { items } = JSON.parse(out) as {
    items: { directReturn?: string; sourceNat?: string; backendServes: boolean }[];
  };
  expect(items.map(({ directReturn, sourceNat }) => [directReturn, sourceNat])).toEqual([
    ['geneve', undefined],
    ['ipip', undefined],
    ['received', undefined],
  ]);
  expect(items[2]?.backendServes).toBe(true);
  const wide = (await sluice(['flow', 'list', '-o', 'wide'], kernelWith(maps, clock))).out;
  for (const path of ['dsr-geneve', 'dsr-ipip', 'dsr ']) expect(wide).toContain(` ${path}`);
});
