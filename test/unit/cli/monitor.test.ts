import { expect, test } from 'vitest';
import { encode } from '../../../maps-schema/codec.ts';
import {
  FLOW_REPLY,
  HOOK_EGRESS,
  HOOK_INGRESS,
  MONITOR_EVICTED,
  MONITOR_PACKET,
  MONITOR_SOCKET,
  type MonitorEvent,
  monitorEvent,
  REASON_DROP_NO_ROUTE,
  REASON_NEW_FLOW,
  REASON_REJECT_NO_BACKEND,
  REASON_SOCKET_CONNECT,
  reasons,
} from '../../../maps-schema/gen/codecs.ts';
import type { EventRequest, EventSource } from '../../../src/bpf/event-source.ts';
import { EVICTIONS_BIT } from '../../../src/bpf/monitor.ts';
import { isFailure } from '../../../src/cli/explain/advice.ts';
import { ALL_REASONS, parseReasons } from '../../../src/cli/monitor-reasons.ts';
import { kindOf } from '../../../src/cli/views/monitor.ts';
import { createMaps, kernelWith, putFrontend, putName, sluice } from './fake-kernel.ts';

const NOW = Date.parse('2026-05-01T10:37:02.500Z');
const EMPTY = monitorEvent.read(Buffer.alloc(monitorEvent.size), 0);
const NODE_PORT = 30080;

const event = (more: Partial<MonitorEvent>, key: Partial<MonitorEvent['key']> = {}): MonitorEvent => ({
  ...EMPTY,
  ...more,
  key: {
    ...EMPTY.key,
    saddr: '203.0.113.9',
    daddr: '10.96.0.10',
    sport: 41200,
    dport: 80,
    proto: 6,
    hook: HOOK_INGRESS,
    ...key,
  },
});
const call = (more: Partial<MonitorEvent>) =>
  event({ kind: MONITOR_SOCKET, pid: 2211, comm: 'curl', ...more }, { saddr: '::', sport: 0, hook: 0 });

const EVENTS = [
  event({ kind: MONITOR_PACKET, reason: REASON_NEW_FLOW, servicePortId: 1, backend: '10.244.0.1', backendPort: 8080 }),
  call({ reason: REASON_SOCKET_CONNECT, servicePortId: 1, backend: '10.244.0.1', backendPort: 8080 }),
  event({ reason: REASON_REJECT_NO_BACKEND, bytes: 60 }, { daddr: '192.0.2.1', dport: NODE_PORT }),
  event({ reason: REASON_DROP_NO_ROUTE }, { daddr: '198.51.100.77', proto: 17 }),
  event(
    { kind: MONITOR_EVICTED, servicePortId: 1, flowFlags: FLOW_REPLY },
    { saddr: '10.244.0.1', sport: 8080, daddr: '203.0.113.9', dport: 41200, hook: HOOK_EGRESS },
  ),
];

/** Runs the command on these events, until there are no more. */
async function monitor(words: string[], events = EVENTS, lost = [0]) {
  const maps = createMaps();
  putName(maps, 1, 'shop/web', 'http');
  putName(maps, 2, 'shop/cart');
  putFrontend(maps, { address: '0.0.0.0', port: NODE_PORT }, { servicePortId: 2 });
  const waiting = [...events];
  let request: EventRequest | undefined;
  const state = { renewed: 0, closed: false, looks: 0 };
  const source: EventSource = {
    read(limit, take) {
      const some = waiting.splice(0, limit);
      for (const one of some) take(monitorEvent.read(encode(monitorEvent, one), 0));
      return some.length;
    },
    renew: () => void state.renewed++,
    lost: () => lost[Math.min(state.looks, lost.length - 1)] ?? 0,
    close: () => {
      state.closed = true;
    },
  };
  const kernel = kernelWith(maps, {
    openEvents(_, asked) {
      request = asked;
      return source;
    },
  });
  const done = await sluice(['monitor', ...words], kernel, {
    now: () => NOW,
    wait: async () => ++state.looks < 100,
    interruption: () => new AbortController().signal,
  });
  return { ...done, request, state };
}

test('a line each: Service, client, frontend, backend and the reason in words', async () => {
  const { code, out, err, state } = await monitor(['-o', 'wide']);
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(out.replace(/^\d\d:\d\d:02\.500/gm, 'TT:TT:02.500')).toMatchSnapshot();
  expect(state).toMatchObject({ closed: true, renewed: 5 });
});

test('-o json: an object a line', async () => {
  const { out } = await monitor(['-o', 'json']);
  const rows = out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(rows).toHaveLength(5);
  expect(rows[1]).toEqual({
    time: '2026-05-01T10:37:02.500Z',
    event: 'new',
    namespace: 'shop',
    name: 'web',
    port: 'http',
    protocol: 'TCP',
    client: 'curl (2211)',
    frontend: '10.96.0.10:80',
    backend: '10.244.0.1:8080',
    reason: 'SOCKET_CONNECT',
    meaning: 'socket pointed at a backend by connect',
    bytes: 0,
    process: { id: 2211, name: 'curl' },
  });
});

test.each([
  [['--service', 'cart'], ['REJECT_NO_BACKEND']],
  [['--service', 'shop/web', '--client', 'curl'], ['SOCKET_CONNECT']],
  [
    ['--client', '203.0.113.9', '--service', 'web'],
    ['NEW_FLOW', 'EVICTED'],
  ],
  [['-n', 'other'], []],
  [
    ['--count', '2'],
    ['NEW_FLOW', 'SOCKET_CONNECT'],
  ],
])('%s', async (words, wanted) => {
  const { out } = await monitor([...words, '-o', 'jsonpath={.reason}']);
  expect(out.split('\n').filter(Boolean)).toEqual(wanted);
});

test('what the kernel is asked for; what it does not know is refused', async () => {
  expect((await monitor([])).request).toEqual({ reasons: ALL_REASONS, oneIn: 1 });
  expect((await monitor(['--sample', '100', '--reason', 'evicted'])).request).toEqual({
    reasons: 1n << BigInt(EVICTIONS_BIT),
    oneIn: 100,
  });
  expect(await monitor(['--reason', 'nonsense'])).toMatchObject({
    code: 2,
    err: expect.stringContaining("There is no 'nonsense': give new, refused"),
  });
  expect(await monitor(['--reason', 'forwarded'])).toMatchObject({
    code: 2,
    err: expect.stringContaining('Of FORWARDED nothing is told'),
  });
  expect(await monitor(['--client', '1.2.3'])).toMatchObject({ code: 2 });
});

test('every reason that is a failure is told of, and by one word alone', () => {
  const told = (bits: bigint) => reasons.filter((_, i) => (bits >> BigInt(i)) & 1n).map(({ name }) => name);
  expect(reasons.filter(({ name }) => isFailure(name) && !told(ALL_REASONS).includes(name))).toEqual([]);
  const words = ['new', 'refused', 'dropped', 'told'];
  expect(words.flatMap((word) => told(parseReasons(word))).sort()).toEqual(told(ALL_REASONS).sort());
  expect(told(parseReasons('drop-source, REJECT_LOST'))).toEqual(['REJECT_LOST', 'DROP_SOURCE']);
  expect(kindOf(reasons.findIndex(({ name }) => name === 'SOCKET_STALE'))).toBe('refused');
});

test('what was lost is told, once', async () => {
  const { err } = await monitor([], EVENTS, [0, 0, 120]);
  expect(err.match(/! 120 events were lost/g)).toHaveLength(1);
});
