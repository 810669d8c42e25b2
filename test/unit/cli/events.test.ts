import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ChangeRecord, HistoryRecord } from '../../../src/model/history.ts';
import { appendRecord } from '../../../src/model/history-ring.ts';
import { createMaps, kernelWith, putFrontend, putName, putSlot, sluice } from './fake-kernel.ts';

/** The test's times are of this day, in UTC. */
const at = (time: string) => Date.parse(`2026-05-01T${time}Z`);
const NOW = at('11:00:00');
const zone = process.env.TZ;
beforeAll(() => {
  process.env.TZ = 'UTC';
});
afterAll(() => {
  if (zone === undefined) delete process.env.TZ;
  else process.env.TZ = zone;
});

const change = (time: string, more: Partial<ChangeRecord>): ChangeRecord => ({
  kind: 'change',
  at: at(time),
  namespace: 'shop',
  service: 'reviews',
  port: 'http',
  protocol: 'TCP',
  family: 'IPv4',
  frontends: [],
  backends: [],
  was: { inside: 1, outside: 1 },
  is: { inside: 1, outside: 1 },
  by: [],
  ...more,
});

/** reviews has one backend now; at 10:37 it lost its only one, at 10:40 it got another. */
const RECORDS: readonly HistoryRecord[] = [
  { kind: 'start', at: at('10:00:00'), version: '1.2.3', node: 'node1', services: 2 },
  change('10:37:02.040', {
    backends: [{ address: '10.244.2.7', port: 8080, was: 1, is: 0 }],
    is: { inside: 0, outside: 0 },
    by: [{ kind: 'EndpointSlice', name: 'shop/reviews-x7k', version: '4711' }],
    triggered: at('10:37:02'),
    heard: at('10:37:02.031'),
  }),
  change('10:40:00', {
    backends: [{ address: '10.244.0.1', port: 8080, was: 0, is: 1 }],
    was: { inside: 0, outside: 0 },
    by: [
      { kind: 'EndpointSlice', name: 'shop/reviews-x7k', version: '4720' },
      { kind: 'Service', name: 'shop/reviews', version: '4721' },
    ],
    heard: at('10:39:58.5'),
  }),
  change('10:41:00', {
    service: 'old',
    port: '',
    family: 'IPv6',
    frontends: [{ address: 'fd00::1', port: 80, was: { flags: 1, affinitySeconds: 0 } }],
    is: { absent: true, inside: 0, outside: 0 },
    by: [{ kind: 'Service', name: 'shop/old', gone: true }],
  }),
  { kind: 'overflow', at: at('10:50:00'), changes: 7 },
];

function shop(records: readonly HistoryRecord[] = RECORDS) {
  const maps = createMaps();
  putName(maps, 1, 'shop/reviews', 'http');
  putFrontend(maps, {}, { internalBase: 1, internalCount: 1, externalBase: 1, externalCount: 1 });
  putSlot(maps, 1, {});
  for (const record of records) appendRecord(maps.history.view, record);
  return maps;
}
const run = (words: string[], maps = shop()) => sluice(['events', ...words], kernelWith(maps), { now: () => NOW });

test('events: the oldest first, in words, with object, version and latency', async () => {
  const { code, out, err } = await run([]);
  expect(out).toBe(
    [
      'TIME                  SERVICE        PORT   OBJECT                             VERSION   LATENCY   CHANGE',
      '2026-05-01 10:00:00   -              -      agent                              -               -   agent 1.2.3 on node1 started, 2 Services in force',
      '2026-05-01 10:37:02   shop/reviews   http   EndpointSlice shop/reviews-x7k     4711         40ms   backend 10.244.2.7:8080 left, serving 1 → none: refuse',
      '2026-05-01 10:40:00   shop/reviews   http   EndpointSlice shop/reviews-x7k …   4720            -   backend 10.244.0.1:8080 joined, serving none → 1',
      '2026-05-01 10:41:00   shop/old       -      Service shop/old (gone)            -               -   frontend [fd00::1]:80 removed, served no more',
      '2026-05-01 10:50:00   -              -      -                                  -               -   7 more changes at once: not written down',
      '',
    ].join('\n'),
  );
  expect({ code, err }).toEqual({ code: 0, err: '' });
});

test('events -o wide says how long the agent took, -o json has the records', async () => {
  const { out } = await run(['reviews', '-o', 'wide']);
  expect(out.split('\n')[0]).toMatch(/ PROTO +FAMILY +OBJECT +VERSION +LATENCY +AGENT +CHANGE$/);
  expect(out.split('\n')[1]).toMatch(/ TCP +IPv4 .* 4711 +40ms +9ms +backend /);
  expect(out.split('\n')[2]).toMatch(/ 4720 +- +1\.5s +backend /);
  const { items } = JSON.parse((await run(['-o', 'json', 'shop/reviews'])).out) as { items: object[] };
  expect(items).toHaveLength(2);
  expect(items[0]).toMatchObject({ time: '2026-05-01T10:37:02.040Z', latencyMs: 40, agentMs: 9, record: RECORDS[1] });
});

test('events: only since a time, only so many, only of a namespace', async () => {
  const times = async (...words: string[]) =>
    (await run([...words, '--no-headers'])).out
      .split('\n')
      .filter(Boolean)
      .map((line) => line.slice(11, 16));
  expect(await times('--since', '10:40')).toEqual(['10:40', '10:41', '10:50']);
  expect(await times('--since', '20m')).toEqual(['10:40', '10:41', '10:50']);
  expect(await times('--since', '2026-05-01T10:45:00Z')).toEqual(['10:50']);
  // Later than now: yesterday's.
  expect(await times('--since', '23:00')).toHaveLength(5);
  expect(await times('--limit', '2')).toEqual(['10:41', '10:50']);
  expect(await times('-n', 'shop')).toEqual(['10:37', '10:40', '10:41']);
  expect(await run(['--since', 'teatime'])).toMatchObject({
    code: 2,
    err: "sluice: --since: 'teatime' is no time; give e.g. 10:37, 5m (ago) or 2026-05-01T10:37:00Z\n",
  });
  expect(await run(['nobody'])).toMatchObject({ code: 0, out: '', err: expect.stringMatching(/^nothing has changed/) });
});

test('events -w goes on with what is new, each once', async () => {
  const maps = shop();
  let turns = 0;
  const wait = async () => {
    if (turns === 1) appendRecord(maps.history.view, { kind: 'stop', at: NOW, version: '1.2.3', node: 'node1' });
    return ++turns < 4;
  };
  const { out } = await sluice(['events', '--limit', '1', '-w'], kernelWith(maps), { now: () => NOW, wait });
  expect(out.split('\n').slice(1)).toEqual([
    expect.stringContaining('7 more changes'),
    expect.stringContaining('agent 1.2.3 on node1 ended; what is in force stays'),
    '',
  ]);
});

test('events --at: how a Service stood then', async () => {
  const before = await run(['--at', '10:37', 'shop/reviews']);
  expect(before).toMatchObject({
    code: 0,
    out: [
      'shop/reviews:http TCP IPv4, serving: 1',
      'FRONTEND       TYPE        NOTES',
      '10.96.0.1:80   ClusterIP   -',
      'BACKEND           STATE     LOCAL   LISTS',
      '10.244.2.7:8080   serving   no      cluster',
      '',
    ].join('\n'),
  });
  // More changed than is written down since.
  expect(before.err).toMatch(/^! more changed at once/);
  expect((await run(['--at', '10:38', 'reviews'])).out).toMatch(/serving: none\n(?!.*BACKEND)/);
  const { ports } = JSON.parse((await run(['--at', '10:45', 'reviews', '-o', 'json'])).out) as { ports: object[] };
  expect(ports).toMatchObject([{ serving: { inside: 1 }, backends: [{ address: '10.244.0.1', lists: ['cluster'] }] }]);
  // One that is gone now.
  expect((await run(['--at', '10:40:30', 'old'])).out).toContain('[fd00::1]:80   ClusterIP');
  expect(await run(['--at', '10:41:30', 'old'])).toMatchObject({
    code: 1,
    err: expect.stringContaining('had no frontends'),
  });
});

test('events --at before the history: not known; without a Service: called wrongly', async () => {
  expect(await run(['--at', '09:59', 'reviews'])).toMatchObject({
    code: 1,
    out: '',
    err: 'sluice: how reviews stood at 2026-05-01 09:59:00 is not known: the history begins at 2026-05-01 10:00:00\n',
  });
  expect(await run(['--at', '10:37', 'reviews'], shop([]))).toMatchObject({ code: 1 });
  expect(await run(['--at', '10:37'])).toMatchObject({ code: 2 });
  expect(await run(['--at', '10:37', 'reviews', '-w'])).toMatchObject({ code: 2 });
});

test('what a hostile record holds does not reach the terminal', async () => {
  const evil = '\x1b[2J\u202e';
  const maps = shop([
    change('10:30:00', {
      namespace: evil,
      service: evil,
      port: evil,
      by: [{ kind: 'Service', name: evil, version: evil }],
    }),
    { kind: 'start', at: NOW, version: evil, node: evil },
    { kind: 'unheard-of', at: NOW } as never,
  ]);
  const { out } = await run([], maps);
  expect(out.replaceAll('\n', '')).not.toMatch(/[\p{C}]/u);
  expect(out.split('\n')).toHaveLength(4);
});
