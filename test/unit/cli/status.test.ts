import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  FLOW_REDIRECT,
  FLOW_REPLY,
  FLOW_SNAT,
  mark,
  nodeAddressKey,
  REASON_DROP_TTL,
  REASON_FORWARDED,
  REASON_REJECT_NO_BACKEND,
  SCHEMA_VERSION,
  snatBackend,
  snatBackendKey,
  TABLE_HALF_OPEN_ADDED,
  TABLE_HALF_OPEN_REMOVED,
} from '../../../maps-schema/gen/codecs.ts';
import { writeHandover } from '../../../src/bpf/handover.ts';
import type { PinnedLink } from '../../../src/bpf/links.ts';
import type { Maps } from '../../../src/bpf/open-maps.ts';
import { renderStatus, type Status } from '../../../src/cli/commands/status.ts';
import { healthUrl } from '../../../src/cli/health.ts';
import { readAttachments } from '../../../src/cli/views/attachments.ts';
import { readOccupancy } from '../../../src/cli/views/occupancy.ts';
import { type AgentReport, readReport, writeReport } from '../../../src/model/agent-report.ts';
import { SluiceError } from '../../../src/model/errors.ts';
import { createMaps, kernelWith, put, putFlow, putFrontend, putSlot, sluice } from './fake-kernel.ts';

let answer = 200;
const server = createServer((_, response) => response.writeHead(answer).end('{}'));
let url = '';
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/healthz`;
});
afterAll(() => server.close());

const counts = {
  [REASON_FORWARDED]: [
    { packets: 900n, bytes: 90_000n },
    { packets: 100n, bytes: 10_000n },
  ],
  [REASON_REJECT_NO_BACKEND]: [{ packets: 3n, bytes: 180n }],
  [REASON_DROP_TTL]: [{ packets: 1n, bytes: 60n }],
};

const link = (more: Partial<PinnedLink>): PinnedLink => ({
  name: '',
  id: 1,
  programId: 7,
  kind: 'tcx',
  target: 4n,
  attachType: 46,
  attached: true,
  ...more,
});

/** Maps of which one is not pinned. */
function without(maps: Maps, name: keyof Maps): Maps {
  return Object.defineProperty(maps, name, {
    get() {
      throw new SluiceError('NOT_RUNNING', `open map ${name}`);
    },
  });
}

test('status as JSON: everything, zeros included', async () => {
  const maps = createMaps(counts);
  putFrontend(maps, {}, { internalBase: 1, internalCount: 3, externalBase: 1, externalCount: 3 });
  putFrontend(maps, { port: 81 }, { internalBase: 4, internalCount: 1, externalBase: 1, externalCount: 3 });
  putSlot(maps, 1, {});
  putSlot(maps, 60, {}, false);
  const { code, out } = await sluice(['status', '-o', 'json', '--health', url], kernelWith(maps));
  const status = JSON.parse(out) as Status;
  expect(code).toBe(0);
  expect(status).toMatchObject({
    schemaVersion: SCHEMA_VERSION,
    bpfRoot: '/sys/fs/bpf/sluice',
    agent: { url, state: 'healthy' },
  });
  const entries = Object.fromEntries(status.maps.map(({ map, entries }) => [map, entries]));
  expect(entries).toMatchObject({ frontends: 2, backend_slots: 4, backend_states: 1, flows: 0 });
  const counters = Object.fromEntries((status.counters ?? []).map((row) => [row.reason, row]));
  expect(counters.FORWARDED).toMatchObject({ packets: 1000, bytes: 100_000, drop: false });
  expect(counters.REJECT_NO_BACKEND).toMatchObject({ packets: 3, drop: true });
  expect(counters.SOCKET_CONNECT).toMatchObject({ packets: 0 });
});

describe('what the agent told of itself (R-85)', () => {
  const report: AgentReport = {
    version: '1.2.3',
    node: 'node-1',
    pid: 42,
    started: '2026-01-02T03:04:05.000Z',
    configurationFile: '/etc/config.yaml',
    configuration: [
      { key: 'mode', disposition: 'honoured', why: 'chooses the section', set: true },
      { key: 'iptables.masqueradeBit', disposition: 'not needed', why: 'packets are not marked', set: true },
      { key: 'enableProfiling', disposition: 'refused', why: 'there is no /debug/pprof', set: true },
      { key: 'portRange', disposition: 'not needed', why: 'no port is opened', set: false },
    ],
    serviceCidrs: ['10.96.0.0/16', 'fd96::/108'],
    respectNetfilter: true,
    leftOut: [{ device: 'wg0', why: 'its packets have no Ethernet header' }],
    healthz: '127.0.0.1:1',
    conditions: [{ what: 'log', message: 'lines are lost: no space is left', since: '2026-05-01T00:00:00Z' }],
    problems: [],
    moreProblems: 0,
  };
  const statusOf = async (told: AgentReport, ...words: string[]) => {
    const maps = createMaps();
    writeReport(maps.report.view, { ...told, node: `${told.node} and a longer name than the next` });
    writeReport(maps.report.view, told);
    return (await sluice(['status', '--health', 'http://127.0.0.1:1/', ...words], kernelWith(maps))).out;
  };

  test('as a table, also when the agent is dead', async () => {
    const out = await statusOf(report);
    expect(out).toMatch(/^agent: +! unreachable/m);
    expect(out).toMatch(/^started: +2026-01-02T03:04:05.000Z {2}version 1.2.3, node node-1$/m);
    expect(out).toMatch(/^config: +\/etc\/config.yaml$/m);
    expect(out).toMatch(/^cidrs: +10.96.0.0\/16,fd96::\/108$/m);
    expect(out).toMatch(/^netfilter: its rules meet packets from outside for backends elsewhere$/m);
    expect(out).toMatch(/^amiss: +! log: lines are lost: no space is left \(since 2026-05-01T00:00:00Z\)$/m);
    expect(out).toMatch(/^left out: +wg0: its packets have no Ethernet header$/m);
    expect(out).toMatch(/^KEY +DISPOSITION +WHY$/m);
    expect(out).toMatch(/^mode +honoured +chooses the section$/m);
    expect(out).toMatch(/^iptables.masqueradeBit +not needed +packets are not marked$/m);
    expect(out).toMatch(/^enableProfiling +! refused +there is no /m);
    expect(out).not.toContain('portRange');
    expect(await statusOf(report, '-o', 'wide')).toMatch(/^portRange +not needed/m);
  });

  test('as JSON, and what is not known', async () => {
    expect((JSON.parse(await statusOf(report, '-o', 'json')) as Status).report).toEqual(report);
    const out = await statusOf({ ...report, configurationFile: null, configuration: [], serviceCidrs: null });
    expect(out).toMatch(/^config: +defaults$/m);
    expect(out).toMatch(/^cidrs: +! not known: packets to cluster IPs that no Service has are not dropped$/m);
    expect(out).not.toMatch(/^KEY/m);
    expect(await statusOf({ ...report, serviceCidrs: [] })).toMatch(/^cidrs: +none$/m);
  });

  test('a report that does not fit is refused, one that was never written is none', async () => {
    expect(() => writeReport(Buffer.alloc(10), report)).toThrow(RangeError);
    expect(JSON.parse((await sluice(['status', '-o', 'json'])).out)).not.toHaveProperty('report');
  });
});

test('an agent that is ill, and one that is gone', async () => {
  answer = 503;
  const ill = await sluice(['status', '-o', 'json', '--health', url]);
  expect(JSON.parse(ill.out).agent).toEqual({ url, state: 'unhealthy', detail: 'it answered 503' });
  const gone = await sluice(['status', '-o', 'json', '--health', 'http://127.0.0.1:1/']);
  expect([ill.code, gone.code]).toEqual([1, 1]);
  expect(JSON.parse(gone.out).agent).toMatchObject({ state: 'unreachable' });
});

test('the address that is asked is what the configuration of the agent says; without a lock it is another agent', async () => {
  answer = 200;
  const maps = createMaps();
  const { host } = new URL(url);
  const told = { version: '1', node: 'n', pid: 1, started: '', configurationFile: null, configuration: [] };
  const problem = {
    kind: 'Service',
    namespace: 'shop',
    name: 'web',
    field: 'spec.clusterIP',
    message: 'is bad',
  } as const;
  writeReport(maps.report.view, { ...told, serviceCidrs: [], healthz: host, problems: [problem], moreProblems: 2 });
  for (const [address, flags] of [
    ['10.0.0.5', 3],
    ['10.0.0.6', 1],
    ['fd00::5', 3],
  ] as const)
    put(maps.nodeAddresses, nodeAddressKey, { address }, mark, { flags });
  const well = await sluice(['status'], kernelWith(maps));
  expect(well.code).toBe(0);
  expect(well.out).toContain(`agent:     healthy  http://${host}/healthz\n`);
  expect(well.out).toContain('nodeports: 10.0.0.5, fd00::5\n');
  expect(well.out).toMatch(/^shop +Service +web +spec\.clusterIP +! is bad$/m);
  expect(well.out).toContain("and 2 more: the agent's log has them\n");
  const other = await sluice(['status'], kernelWith(maps, { agentHolds: () => false }));
  expect(other.code).toBe(1);
  expect(other.out).toMatch(/^agent: +! stopped \(what answers at its address is another one\)/m);
  const gone = await sluice(['service', 'web'], kernelWith(maps));
  expect(gone).toMatchObject({ code: 1, err: 'sluice: Service shop/web: spec.clusterIP: is bad\n' });
});

test.each([
  [undefined, 'http://127.0.0.1:10256/healthz'],
  ['0.0.0.0:80', 'http://127.0.0.1:80/healthz'],
  ['[::]:81', 'http://[::1]:81/healthz'],
  ['192.0.2.1:82', 'http://192.0.2.1:82/healthz'],
])('an agent that listens at %s answers at %s', (listen, asked) => {
  expect(healthUrl(listen)).toBe(asked);
});

test('a report holds as many problems as there is room for', () => {
  const problem = { kind: 'Service', namespace: 'n', name: 's', field: 'f', message: 'm'.repeat(100) } as const;
  const told = { version: '1', node: 'n', pid: 1, started: '', configurationFile: null, configuration: [] };
  const view = Buffer.alloc(2000);
  writeReport(view, { ...told, serviceCidrs: [], healthz: '', problems: Array(50).fill(problem), moreProblems: 0 });
  const report = readReport(view);
  expect(report?.problems.length).toBeGreaterThan(5);
  expect((report?.problems.length ?? 0) + (report?.moreProblems ?? 0)).toBe(50);
});

test('status as a table', () => {
  const status: Status = {
    schemaVersion: 1,
    bpfRoot: '/b',
    agent: { url: 'http://h', state: 'unreachable', detail: 'refused' },
    forwarding: { mode: 'hybrid', encapsulation: 'ipip', dsr: 2, snat: 1 },
    attachments: [
      { program: 'connect4', hook: 'connect4', target: '/cg', state: 'attached' },
      { program: '', hook: 'clsact egress', target: 'eth0', state: 'recorded' },
    ],
    maps: [
      { map: 'frontends', entries: 80, maxEntries: 100, nearlyFull: true, evicts: false },
      { map: 'flows', entries: 99, maxEntries: 100, nearlyFull: true, evicts: true },
      { map: 'devices', maxEntries: 4096, nearlyFull: false, evicts: false },
    ],
    counters: [
      { reason: 'FORWARDED', packets: 10, bytes: 1000, drop: false, meaning: 'established flow' },
      { reason: 'REDIRECTED', packets: 0, bytes: 0, drop: false, meaning: 'sent out' },
      { reason: 'DROP_TTL', packets: 1, bytes: 60, drop: true, meaning: 'hop limit' },
    ],
    features: [{ name: 'tcx', present: false, kernel: '6.6', effect: 'clsact' }],
  };
  expect(renderStatus(status)).toBe(`schema:    v1
bpf-root:  /b
forward:   hybrid (ipip)  frontends: 2 dsr, 1 snat
agent:     ! unreachable (refused)  http://h

PROGRAM    HOOK            TARGET   STATE
connect4   connect4        /cg      attached
-          clsact egress   eth0     recorded

MAP         ENTRIES    MAX   USED   NOTE
frontends        80    100    80%   ! nearly full
flows            99    100    99%   ! nearly full: evicts what was used least recently
devices           -   4096      -   not pinned

REASON      COUNT   BYTES   KIND     MEANING
FORWARDED      10    1000   served   established flow
DROP_TTL        1      60   ! drop   hop limit

FEATURE   PRESENT   NEEDS        WITHOUT
tcx       no        kernel 6.6   clsact
`);
  expect(renderStatus(status, true)).toContain('REDIRECTED');
  expect(renderStatus({ ...status, counters: undefined })).toContain('! counters are not pinned');
  expect(renderStatus({ ...status, attachments: [] })).toContain('! no program is attached');
});

test.each([
  [{ standby: true, detached: true }, /^serving: +! standing by: .*"sluice migrate" takes over$/m],
  [{ standby: true, detached: false }, /^serving: +! handing back: /m],
])('a node that kube-proxy serves: %j', async (handover, line) => {
  answer = 200;
  const maps = createMaps();
  expect((await sluice(['status', '--health', url], kernelWith(maps))).out).not.toContain('serving:');
  writeHandover(maps.control, handover);
  expect((await sluice(['status', '--health', url], kernelWith(maps))).out).toMatch(line);
});

test('a map that is not pinned leaves a gap, no failure', async () => {
  answer = 200;
  const maps = without(without(createMaps(), 'counters'), 'flows');
  const { code, out } = await sluice(['status', '--health', url], kernelWith(maps));
  expect(code).toBe(0);
  expect(out).toMatch(/^flows +- +524288 +- +not pinned$/m);
  expect(out).toContain('! counters are not pinned');
});

test('a map of 80 % is nearly full, one of less is not', () => {
  const maps = createMaps();
  const small = { ...maps.nodeAddresses, shape: { ...maps.nodeAddresses.shape, maxEntries: 5 } };
  const nearlyFull = () =>
    readOccupancy({ ...maps, nodeAddresses: small }).find(({ map }) => map === 'node_addresses')?.nearlyFull;
  for (const address of ['10.0.0.1', '10.0.0.2', '10.0.0.3']) {
    put(maps.nodeAddresses, nodeAddressKey, { address }, mark, { flags: 1 });
  }
  expect(nearlyFull()).toBe(false);
  put(maps.nodeAddresses, nodeAddressKey, { address: '10.0.0.4' }, mark, { flags: 1 });
  expect(nearlyFull()).toBe(true);
});

test('attachments: names where they are known, numbers where not', () => {
  const links = [
    link({}),
    link({ programId: 9, attachType: 47, target: 5n }),
    link({ kind: 'cgroup', programId: 8, attachType: 10, target: 42n }),
    link({ kind: 'cgroup', programId: 8, attachType: 10, target: 43n }),
    link({ attached: false, target: 0n }),
  ];
  const programs = [
    { name: 'ingress', id: 7 },
    { name: 'connect4', id: 8 },
  ];
  const rows = readAttachments(links, [{ ifindex: 4, direction: 'egress' }], programs, {
    device: (ifindex) => (ifindex === 4 ? 'eth0' : undefined),
    cgroup: (id) => (id === 42n ? '/sys/fs/cgroup/pods' : undefined),
  });
  expect(rows).toEqual([
    { program: 'ingress', hook: 'tcx ingress', target: '', state: 'detached' },
    { program: 'connect4', hook: 'connect4', target: '/sys/fs/cgroup/pods', state: 'attached' },
    { program: 'connect4', hook: 'connect4', target: 'cgroup 43', state: 'attached' },
    { program: '', hook: 'clsact egress', target: 'eth0', state: 'recorded' },
    { program: 'ingress', hook: 'tcx ingress', target: 'eth0', state: 'attached' },
    { program: 'program 9', hook: 'tcx egress', target: 'ifindex 5', state: 'attached' },
  ]);
});

test('drops: most frequent first, with their share', async () => {
  const { out } = await sluice(['drops'], kernelWith(createMaps(counts)));
  expect(out).toBe(
    [
      'REASON              COUNT   BYTES   SHARE   MEANING',
      'REJECT_NO_BACKEND       3     180     75%   refused: the service has no usable endpoint',
      'DROP_TTL                1      60     25%   dropped: hop limit reached',
      '',
    ].join('\n'),
  );
  expect(await sluice(['drops'])).toMatchObject({ code: 0, out: '', err: 'nothing was refused or dropped\n' });
});

test('a flow table that gave entries up says so (R-74)', async () => {
  const maps = createMaps({}, { [TABLE_HALF_OPEN_ADDED]: 100n, [TABLE_HALF_OPEN_REMOVED]: 30n });
  putFlow(maps.halfOpenFlows, {}, {});
  const { out } = await sluice(['status', '--health', url], kernelWith(maps));
  expect(out).toMatch(/^half_open_flows .*! was full: about 69 entries made room for newer ones$/m);
  expect(out).not.toMatch(/^flows .*was full/m);
});

test('ports that source NAT spares are named, the first of them', async () => {
  const maps = createMaps();
  const { view } = maps.reservedPorts;
  const reserve = (port: number) => {
    view[port >> 3] = (view[port >> 3] ?? 0) | (1 << (port & 7));
  };
  const lines = async () => (await sluice(['status', '--health', url], kernelWith(maps))).out;
  expect(await lines()).not.toMatch(/^snat:/m);
  for (const port of [1100, 1101, 1102, 2000]) reserve(port);
  expect(await lines()).toMatch(/^snat: +spares 1100-1102,2000$/m);
  const { out } = await sluice(['status', '-o', 'json', '--health', url], kernelWith(maps));
  expect((JSON.parse(out) as Status).reservedPorts).toEqual([
    { first: 1100, last: 1102 },
    { first: 2000, last: 2000 },
  ]);
  for (let port = 3000; port < 3016; port += 2) reserve(port);
  expect(await lines()).toMatch(/^snat: +spares 1100-1102,2000,3000,3002,3004,3006,3008,3010 and 2 more$/m);
  expect(await sluice(['status', '--health', url], kernelWith(without(maps, 'reservedPorts')))).toMatchObject({
    code: 0,
  });
});

test('backends towards which source ports run short, worst first (R-41)', async () => {
  const maps = createMaps();
  const collided = (address: string, collisions: bigint, exhausted: bigint) =>
    put(maps.snatBackends, snatBackendKey, { address, port: 8080, proto: 6 }, snatBackend, { collisions, exhausted });
  const quiet = await sluice(['status', '--health', url], kernelWith(maps));
  expect(quiet.out).not.toContain('COLLISIONS');
  collided('10.244.0.1', 7n, 0n);
  collided('10.244.0.2', 900n, 4n);
  const answer = (saddr: string, dport: number, flags: number) =>
    putFlow(maps.flows, { saddr, sport: 8080, daddr: '192.0.2.1', dport }, { flags });
  for (const port of [2000, 2001]) answer('10.244.0.2', port, FLOW_REPLY | FLOW_SNAT | FLOW_REDIRECT);
  answer('10.244.0.2', 2002, FLOW_REPLY);
  const { out } = await sluice(['status', '--health', url], kernelWith(maps));
  const rows = out.split('\n').filter((line) => line.startsWith('10.244.0.'));
  expect(rows).toEqual([
    expect.stringMatching(/^10\.244\.0\.2:8080 +TCP +2 +900 +4 +! connections found no source port$/),
    expect.stringMatching(/^10\.244\.0\.1:8080 +TCP +0 +7 +0/),
  ]);
  for (let port = 10_000; port < 54_000; port++) answer('10.244.0.1', port, FLOW_REPLY | FLOW_SNAT);
  const full = await sluice(['status', '--health', url], kernelWith(maps));
  expect(full.out).toMatch(/^10\.244\.0\.1:8080 +TCP +44000 .*! source ports run out/m);
});
