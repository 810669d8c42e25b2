import { expect, test } from 'vitest';
import type { Codec } from '../../../maps-schema/codec.ts';
import {
  affinity,
  affinityKey,
  BACKEND_KEPT,
  BACKEND_LOCAL,
  BACKEND_TERMINATING,
  CONTROL_SERVICE_CIDRS4,
  cidrKey,
  control,
  DEVICE_NODE,
  DEVICE_POD,
  device,
  deviceKey,
  dsrBackend,
  dsrBackendKey,
  FRONTEND_CLUSTER_IP,
  FRONTEND_DSR,
  FRONTEND_EXTERNAL_DROP,
  FRONTEND_EXTERNAL_LOCAL,
  FRONTEND_LOAD_BALANCER,
  FRONTEND_NODE_PORT,
  FRONTEND_ROUTER,
  FRONTEND_SNAT_HOST,
  FRONTEND_SNAT_OUTSIDE,
  FRONTEND_SNAT_POD,
  FRONTEND_SOURCE_RANGES,
  knobs as knobsCodec,
  mark,
  NODE_ADDRESS_LOCAL,
  NODE_ADDRESS_NODE_PORT,
  nodeAddressKey,
  SERVICE_ADDRESS_CLUSTER_IP,
  serviceAddressKey,
  sourceRangeKey,
} from '../../../maps-schema/gen/codecs.ts';
import { adviceGaps } from '../../../src/cli/explain/advice.ts';
import type { Explanation } from '../../../src/cli/explain/model.ts';
import type { Kernel } from '../../../src/cli/kernel.ts';
import type { Route } from '../../../src/cli/routes.ts';
import { writeReport } from '../../../src/model/agent-report.ts';
import { createMaps, kernelWith, put, putFlow, putFrontend, putName, putSlot, sluice } from './fake-kernel.ts';

const SNAT_ALL = FRONTEND_SNAT_POD | FRONTEND_SNAT_HOST | FRONTEND_SNAT_OUTSIDE;
const POD = '10.244.1.5';
const CLIENT = '203.0.113.9';
const NODE = '192.0.2.1';
const SECOND = '192.0.2.77';
const zero = <T>(codec: Codec<T>) => codec.read(Buffer.alloc(codec.size), 0);
const ROUTES = new Map<string, Route>([
  [POD, { device: 'veth5', ifindex: 5 }],
  ['10.244.0.1', { device: 'veth6', ifindex: 6 }],
  ['10.244.0.2', { device: 'eth0', ifindex: 2, gateway: '192.0.2.2' }],
  [CLIENT, { device: 'eth0', ifindex: 2, gateway: '192.0.2.254' }],
  [NODE, { device: 'lo', ifindex: 1, local: true }],
]);

/**
 * shop/web: a ClusterIP, a NodePort and a load balancer with policy Local; 10.244.0.1 is here, 10.244.0.2 on another
 * node, 10.244.0.3 keeps its connections. shop/empty has no backend.
 */
function shop() {
  const maps = createMaps();
  putName(maps, 1, 'shop/web', 'http');
  putName(maps, 2, 'shop/empty');
  const cluster = { servicePortId: 1, internalBase: 1, internalCount: 2, externalBase: 1, externalCount: 2 };
  putFrontend(maps, {}, { ...cluster, flags: FRONTEND_CLUSTER_IP | FRONTEND_SNAT_HOST | FRONTEND_SNAT_OUTSIDE });
  putFrontend(maps, { address: '0.0.0.0', port: 30080 }, { ...cluster, flags: FRONTEND_NODE_PORT | SNAT_ALL });
  const local = { ...cluster, externalBase: 5, externalCount: 1 };
  const flags = FRONTEND_LOAD_BALANCER | FRONTEND_EXTERNAL_LOCAL | FRONTEND_SNAT_HOST;
  putFrontend(maps, { address: '198.51.100.1' }, { ...local, flags });
  putFrontend(maps, { address: '10.96.0.2' }, { servicePortId: 2, flags: FRONTEND_CLUSTER_IP });
  putSlot(maps, 1, { flags: BACKEND_LOCAL });
  putSlot(maps, 2, {});
  putSlot(maps, 3, { flags: BACKEND_KEPT });
  putSlot(maps, 5, { address: '10.244.0.1', backendId: 1, flags: BACKEND_LOCAL });
  const clusterIp = { flags: SERVICE_ADDRESS_CLUSTER_IP };
  for (const address of ['10.96.0.1', '10.96.0.2'])
    put(maps.serviceAddresses, serviceAddressKey, { address }, mark, clusterIp);
  const both = NODE_ADDRESS_LOCAL | NODE_ADDRESS_NODE_PORT;
  put(maps.nodeAddresses, nodeAddressKey, { address: NODE }, mark, { flags: both });
  put(maps.nodeAddresses, nodeAddressKey, { address: SECOND }, mark, { flags: NODE_ADDRESS_LOCAL });
  put(maps.podCidrs, cidrKey, { prefixlen: 96 + 16, address: '10.244.0.0' }, mark, { flags: 0 });
  put(maps.serviceCidrs, cidrKey, { prefixlen: 96 + 12, address: '10.96.0.0' }, mark, { flags: 0 });
  control.write(maps.control.view, 0, { ...zero(control), flags: CONTROL_SERVICE_CIDRS4 });
  const row = (ifindex: number, deviceFlags: number, masquerade4: string) =>
    put(maps.devices, deviceKey, { ifindex }, device, { ...zero(device), flags: deviceFlags, masquerade4 });
  row(2, DEVICE_NODE, NODE);
  for (const ifindex of [5, 6]) row(ifindex, DEVICE_POD, '10.244.1.1');
  return maps;
}

type Maps = ReturnType<typeof shop>;
const KNOBS = { ...zero(knobsCodec), detectPods4: 1, detectPods6: 1, socketLbPods: 1, localhostNodePorts: 1 };

const run = (
  from: string,
  to: string,
  maps: Maps = shop(),
  words: string[] = [],
  knobs = KNOBS,
  more: Partial<Kernel> = {},
) =>
  sluice(
    ['explain', '--from', from, '--to', to, ...words],
    kernelWith(maps, {
      readKnobs: () => knobs,
      readRoutes: (addresses) => new Map([...ROUTES].filter(([address]) => addresses.includes(address))),
      monotonic: () => 100_000_000_000n,
      ...more,
    }),
  );
const explain = async (...args: Parameters<typeof run>): Promise<Explanation> => {
  const [from, to, maps, words = [], knobs] = args;
  const { out, err } = await run(from, to, maps, [...words, '-o', 'json'], knobs);
  expect(err).toBe('');
  return JSON.parse(out) as Explanation;
};

test('explain in words: a client outside, a backend here and one elsewhere', async () => {
  expect(await run(CLIENT, `${NODE}:30080`)).toEqual({
    agent: undefined,
    code: 0,
    err: '',
    out: [
      'verdict:    forwarded (NEW_FLOW)',
      'why:        a backend is chosen and a flow made: any of 2, with the same chance',
      'from:       203.0.113.9: outside the cluster, behind eth0',
      'to:         192.0.2.1:30080/TCP: NodePort of shop/web:http',
      'decided by: the packet path, where the first packet comes in',
      'list:       cluster, for clients outside: externalTrafficPolicy is Cluster',
      'source:     differs by backend: -o wide says why',
      '',
      'BACKEND           CHANCE   LOCAL   LISTS           PATH       SOURCE       DEVICE   WHY',
      '10.244.0.1:8080      50%   yes     cluster,local   stack      10.244.1.1   veth6    ready',
      '10.244.0.2:8080      50%   no      cluster         redirect   192.0.2.1    eth0     ready',
      '10.244.0.3:8080        -   no      -               -          -            -        keeps the connections it has, gets no new ones: not ready, terminating, or left to others by topology hints',
      '',
    ].join('\n'),
  });
  expect((await run(CLIENT, `${NODE}:30080`, shop(), ['-o', 'wide'])).out).toMatch(
    /NEXT-HOP +WHY-SOURCE +WHY\n.*\n.* 192\.0\.2\.2 +externalTrafficPolicy is Cluster: /,
  );
});

test('explain in words: dropped, with what to do', async () => {
  const maps = shop();
  putFrontend(
    maps,
    { address: '198.51.100.1' },
    {
      flags: FRONTEND_LOAD_BALANCER | FRONTEND_EXTERNAL_LOCAL | FRONTEND_EXTERNAL_DROP,
      internalBase: 1,
      internalCount: 2,
    },
  );
  const { out } = await run(CLIENT, '198.51.100.1:80', maps);
  expect(out).toMatch(
    /^verdict: {4}! dropped \(DROP_NO_LOCAL_BACKEND\)\nwhy: +no backend of the local list can be used, though there are some elsewhere\ndo: +the traffic policy is Local: /,
  );
  expect(out).toMatch(/10\.244\.0\.2:8080 .* on another node, and the traffic policy is Local/);
  expect(out).toMatch(/^list: +local, for clients outside: externalTrafficPolicy is Local$/m);
});

test.each<[string, string, string, object]>([
  ['a pod by its socket', POD, '10.96.0.1:80', { verdict: 'forwarded', by: 'socket', reason: 'SOCKET_CONNECT' }],
  ['the node by its socket', 'node', '10.96.0.1:80', { verdict: 'forwarded', by: 'socket', from: { kind: 'node' } }],
  ['the node by 127.0.0.1', 'node', '127.0.0.1:30080', { verdict: 'forwarded', frontend: { types: ['NodePort'] } }],
  ['a pod, past policy Local', POD, '198.51.100.1:80', { list: { name: 'cluster', side: 'inside' } }],
  [
    'a client under policy Local',
    CLIENT,
    '198.51.100.1:80',
    { list: { name: 'local' }, backends: [{ chance: 1 }, {}, {}] },
  ],
  ['no endpoint', POD, '10.96.0.2:80', { verdict: 'refused', reason: 'REJECT_NO_BACKEND', backends: [] }],
  ['SCTP of the node', 'node', '10.96.0.1:80/sctp', { verdict: 'refused', reason: 'REJECT_NO_PORT' }],
  ['a spoofed source', '127.0.0.5', '10.96.0.1:80', { verdict: 'dropped', reason: 'DROP_SOURCE' }],
  ['another family of the same', 'fd00::9', '[fd00::1]:80', { verdict: 'left' }],
])('explain: %s', async (_, from, to, want) => {
  expect(await explain(from, to)).toMatchObject(want);
});

test.each<[string, string, object]>([
  [
    'a port that the cluster IP lacks',
    '10.96.0.1:443',
    { verdict: 'refused', why: expect.stringContaining('it has 80/TCP (shop/web:http)') },
  ],
  [
    'the other protocol',
    '10.96.0.1:80/udp',
    { verdict: 'refused', reason: 'REJECT_NO_PORT', advice: expect.stringContaining('right protocol') },
  ],
  [
    'a cluster IP that nobody has',
    '10.97.0.1:80',
    { verdict: 'dropped', reason: 'DROP_UNALLOCATED', why: expect.stringContaining('10.96.0.0/12') },
  ],
  [
    'a node address without NodePorts',
    `${SECOND}:30080`,
    { verdict: 'left', advice: `dial ${NODE}, or let nodePortAddresses name ${SECOND}` },
  ],
  ['no NodePort', `${NODE}:22`, { verdict: 'left', why: expect.stringContaining('22/TCP is no NodePort') }],
  [
    'a NodePort of another protocol',
    `${NODE}:30080/udp`,
    { verdict: 'left', advice: '30080 is a NodePort of shop/web:http by TCP, not by UDP' },
  ],
  [
    'another port of a load balancer',
    '198.51.100.1:81',
    { verdict: 'left', why: expect.stringContaining('but not this port') },
  ],
  [
    'a backend itself',
    '10.244.0.2:8080',
    { verdict: 'left', why: expect.stringContaining("a backend's own address (10.244.0.2:8080 of shop/web)") },
  ],
  [
    'somewhere else',
    '192.0.2.200:80',
    { verdict: 'left', advice: expect.stringMatching(/problems.*headless.*ipMode Proxy/) },
  ],
])('explain where no frontend is: %s', async (_, to, want) => {
  const found = await explain(POD, to);
  expect(found).toMatchObject(want);
  expect(found.frontend).toBeUndefined();
});

test('explain: source ranges, affinity and a living flow', async () => {
  const maps = shop();
  const base = { servicePortId: 1, internalBase: 1, internalCount: 2, externalBase: 1, externalCount: 2 };
  putFrontend(
    maps,
    { address: '198.51.100.2' },
    { ...base, flags: FRONTEND_LOAD_BALANCER | SNAT_ALL | FRONTEND_SOURCE_RANGES, affinitySeconds: 60 },
  );
  expect(await explain(CLIENT, '198.51.100.2:80', maps)).toMatchObject({
    verdict: 'dropped',
    reason: 'DROP_SOURCE_RANGE',
  });
  const range = { servicePortId: 1, prefixlen: 32 + 96 + 24, address: '203.0.113.0' };
  put(maps.sourceRanges, sourceRangeKey, range, mark, { flags: 0 });
  expect(await explain(CLIENT, '198.51.100.2:80', maps)).toMatchObject({ verdict: 'forwarded' });
  const kept = { lastNew: 90_000_000_000n, backendId: 2, backendGeneration: 1 };
  put(maps.affinities, affinityKey, { client: CLIENT, servicePortId: 1 }, affinity, kept);
  expect(await explain(CLIENT, '198.51.100.2:80', maps)).toMatchObject({
    affinity: { backend: '10.244.0.2:8080', secondsLeft: 50 },
    backends: [{ chance: 0 }, { chance: 1 }, { chance: 0 }],
  });
  put(maps.affinities, affinityKey, { client: CLIENT, servicePortId: 1 }, affinity, { ...kept, lastNew: 0n });
  expect((await explain(CLIENT, '198.51.100.2:80', maps)).affinity).toBeUndefined();
  putFlow(maps.flows, { saddr: CLIENT, sport: 4000, daddr: '198.51.100.2' }, { saddr: CLIENT, daddr: '10.244.0.1' });
  expect(await explain(`${CLIENT}:4000`, '198.51.100.2:80', maps)).toMatchObject({
    reason: 'FORWARDED',
    flow: { backend: '10.244.0.1:8080', state: 'established' },
    backends: [{ chance: 1 }, { chance: 0 }, { chance: 0 }],
  });
});

test('explain: who is in a list, and why', async () => {
  const maps = shop();
  putSlot(maps, 1, { flags: BACKEND_LOCAL | BACKEND_TERMINATING });
  const { backends } = await explain(POD, '10.96.0.1:80', maps);
  expect(backends.map(({ why }) => why)).toEqual([
    'terminates, and no ready one is left',
    'ready',
    expect.stringMatching(/^keeps the connections it has/),
  ]);
});

test('explain: whose address the backend sees, and by which path', async () => {
  const ways = async (from: string, to: string, maps = shop(), knobs = KNOBS) =>
    (await explain(from, to, maps, [], knobs)).backends
      .slice(0, 2)
      .map(({ path, sourceNat, device: by }) => [path, sourceNat, by]);
  expect(await ways(POD, '10.96.0.1:80')).toEqual([
    ['socket', undefined, 'veth6'],
    ['socket', undefined, 'eth0'],
  ]);
  const packets = { ...KNOBS, socketLbPods: 0 };
  expect(await ways(POD, '10.96.0.1:80', shop(), packets)).toEqual([
    ['stack', undefined, 'veth6'],
    ['stack', undefined, 'eth0'],
  ]);
  // Its own client.
  expect((await ways('10.244.0.1', '10.96.0.1:80', shop(), packets))[0]).toEqual(['stack', '10.244.1.1', 'veth6']);
  const netfilter = { ...KNOBS, respectNetfilter: 1 };
  expect((await ways(CLIENT, `${NODE}:30080`, shop(), netfilter))[1]).toEqual(['stack', NODE, 'eth0']);
  const maps = shop();
  const base = { internalBase: 1, internalCount: 2, externalBase: 1, externalCount: 2 };
  putFrontend(
    maps,
    { address: '0.0.0.0', port: 30080 },
    { ...base, flags: FRONTEND_NODE_PORT | SNAT_ALL | FRONTEND_DSR },
  );
  expect((await ways(CLIENT, `${NODE}:30080`, maps))[1]).toEqual(['redirect', NODE, 'eth0']);
  put(maps.dsrBackends, dsrBackendKey, { address: '10.244.0.2', servicePortId: 1 }, dsrBackend, {
    node: '192.0.2.2',
    port: 8080,
    flags: 0,
  });
  expect((await ways(CLIENT, `${NODE}:30080`, maps))[1]).toEqual(['dsr', undefined, 'eth0']);
});

test('explain: an empty list with ipMode Router, a backend without a route', async () => {
  const maps = shop();
  putFrontend(maps, { address: '198.51.100.3' }, { servicePortId: 2, flags: FRONTEND_LOAD_BALANCER | FRONTEND_ROUTER });
  expect(await explain(CLIENT, '198.51.100.3:80', maps)).toMatchObject({ verdict: 'left' });
  putSlot(maps, 8, { address: '10.9.9.9' });
  putFrontend(
    maps,
    { address: '10.96.0.3' },
    { servicePortId: 2, internalBase: 8, internalCount: 1, flags: FRONTEND_CLUSTER_IP },
  );
  expect(await explain(POD, '10.96.0.3:80', maps)).toMatchObject({ verdict: 'dropped', reason: 'DROP_NO_ROUTE' });
});

test('explain shows what the agent refused about the address, and of the Service', async () => {
  const maps = shop();
  const problem = (name: string, message: string) => ({
    kind: 'Service' as const,
    namespace: 'shop',
    name,
    field: 'spec',
    message,
  });
  const problems = [
    problem('late', '10.97.0.9 port 80/TCP belongs to the older Service shop/web: not served for this one'),
    problem('web', 'is odd'),
    problem('far', '110.97.0.9 cannot be used'),
    problem('near', '10.97.0.90 cannot be used'),
  ];
  writeReport(maps.report.view, { problems, moreProblems: 0 } as never);
  expect((await explain(POD, '10.97.0.9:80', maps)).problems).toEqual([
    expect.stringMatching(/^Service shop\/late: spec: /),
  ]);
  expect((await explain(POD, '10.96.0.1:80', maps)).problems).toEqual(['Service shop/web: spec: is odd']);
  expect((await run(POD, '10.96.0.1:80', maps)).out).toContain('problem:    ! Service shop/web: spec: is odd\n');
});

test('explain --run tells what the programs did, or why they were not asked', async () => {
  const frames: string[] = [];
  const rehearsal = {
    run: (program: string, frame: Buffer, ifindex: number) => {
      frames.push(`${program} ${ifindex}`);
      return { verdict: 'redirect' as const, reasons: ['NEW_FLOW'], frame };
    },
    copyAffinity() {},
    close: () => frames.push('closed'),
  };
  const more = { createRehearsal: async () => rehearsal };
  const asked = (from: string, to: string) => run(from, to, shop(), ['--run'], KNOBS, more);
  // It comes out as it went in, which is no backend's: the tables say otherwise.
  expect((await asked(CLIENT, `${NODE}:30080`)).out).toMatch(
    /^run: +! the programs decide otherwise: forwarded \(NEW_FLOW\) as 203\.0\.113\.9:41234 > 192\.0\.2\.1:30080; report/m,
  );
  expect(frames).toEqual(['ingress 2', 'closed']);
  expect((await asked(POD, '10.96.0.1:80')).out).toMatch(/^note: +the programs were not run: the socket hook decides/m);
  expect(frames).toHaveLength(2);
});

test('every reason that fails a client has advice', () => {
  expect(adviceGaps()).toEqual([]);
});

test.each([
  [['--from', 'web-0', '--to', '10.96.0.1:80'], /'web-0' is no address; .*kubectl get pod -o wide/],
  [['--from', POD, '--to', '10.96.0.1'], /'10\.96\.0\.1' is no address with a port/],
  [['--from', POD, '--to', '10.96.0.1:80/icmp'], /is no address with a port/],
  [['--from', POD, '--to', '10.96.0.1:99999'], /is no address with a port/],
  [['--from', POD, '--to', '[fd00::1]:80'], /are not of one family/],
  [['--from', POD], /required option '--to/],
])('explain %j is wrong usage', async (words, message) => {
  const { code, err } = await sluice(['explain', ...words], kernelWith(shop()));
  expect(err).toMatch(message);
  expect(code).toBe(2);
});
