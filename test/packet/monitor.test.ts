/** What the packet programs tell `sluice monitor`: with Service and backend, by the reasons asked for, and no more. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type MonitorEvent, REASON_DROP_NO_SNAT_PORT, REASON_NEW_FLOW } from '../../maps-schema/gen/codecs.ts';
import { type EventSource, openEvents } from '../../src/bpf/event-source.ts';
import { EVICTIONS_BIT, isMonitored, requestEvents } from '../../src/bpf/monitor.ts';
import { ALL_REASONS, parseReasons } from '../../src/cli/monitor-reasons.ts';
import { createObserver, type MonitorRow } from '../../src/cli/views/monitor.ts';
import { packet } from '../support/packet/builder.ts';
import { CLIENT, NODE, POD, REMOTE_POD } from '../support/packet/network.ts';
import { createPacketRig, type PacketRig, WAYS } from '../support/packet/rig.ts';
import { backend, frontend, remote, service } from '../support/packet/services.ts';

const VIP = { 4: '10.96.0.1', 6: 'fd00:10:96::1' } as const;
const FAR = '10.96.0.2';
const EMPTY = '10.96.0.3';
const FAMILIES = [4, 6] as const;

let rig: PacketRig;
let source: EventSource | undefined;

beforeEach(async () => {
  // One port for source NAT; two buckets of half-open flows, one of established ones.
  rig = await createPacketRig({ snatPortMin: 40000, snatPortMax: 40000 }, undefined, { flows: 1, halfOpenFlows: 2 });
  rig.serve(
    ...FAMILIES.map((family) =>
      service(`near-${family}`, { frontends: [frontend(VIP[family], 80)], cluster: [backend(POD[family])] }),
    ),
    service('far', { frontends: [frontend(FAR, 80)], cluster: [remote(REMOTE_POD[4])] }),
    service('empty', { frontends: [frontend(EMPTY, 80)] }),
  );
});
afterEach(() => {
  source?.close();
  source = undefined;
  rig.remove();
});

function open(reasons = ALL_REASONS, oneIn = 1): EventSource {
  source = openEvents(rig.pinDirectory, { reasons, oneIn });
  return source;
}
function events(from = source): MonitorEvent[] {
  const all: MonitorEvent[] = [];
  from?.read(100_000, (event) => all.push(event));
  return all;
}
const rows = (): MonitorRow[] => {
  const observe = createObserver(rig.maps, () => 0);
  return events().map((event) => observe(event).row);
};
const syn = (to: string, port: number, from: string = CLIENT[4]) => packet(from, to).tcp(port, 80, 'S').build();

it.each(
  FAMILIES,
)('IPv%i: a new flow, with Service, client, frontend and backend; no packet after the first', (family) => {
  open();
  const ends = {
    4: (host: string, port: number) => `${host}:${port}`,
    6: (host: string, port: number) => `[${host}]:${port}`,
  };
  for (let i = 0; i < 3; i++) rig.ingress(syn(VIP[family], 5000, CLIENT[family]));
  expect(rows()).toEqual([
    expect.objectContaining({
      event: 'new',
      name: `near-${family}`,
      protocol: 'TCP',
      client: ends[family](CLIENT[family], 5000),
      frontend: ends[family](VIP[family], 80),
      backend: ends[family](POD[family], 8080),
      reason: 'NEW_FLOW',
    }),
  ]);
});

it.each(WAYS)('source NAT that fails, by %s: towards which backend', (way) => {
  open();
  for (const from of [CLIENT[4], '198.51.100.10']) rig.ingress(syn(FAR, 40000, from), { way });
  expect(rows()).toEqual([
    expect.objectContaining({ event: 'new', name: 'far', backend: `${REMOTE_POD[4]}:8080` }),
    expect.objectContaining({
      event: 'dropped',
      reason: 'DROP_NO_SNAT_PORT',
      name: 'far',
      client: '198.51.100.10:40000',
      backend: `${REMOTE_POD[4]}:8080`,
    }),
  ]);
});

it('a refusal, with the Service; a packet of an established flow that is dropped, with the backend that it was for', () => {
  open();
  rig.ingress(syn(EMPTY, 5000));
  rig.ingress(syn(FAR, 40000));
  rig.ingress(packet(CLIENT[4], FAR).ttl(1).tcp(40000, 80, '.').build());
  // Its answer, whose hop limit is reached.
  rig.ingress(packet(REMOTE_POD[4], NODE[4]).ttl(1).tcp(8080, 40000, 'S.').build());
  const far = { name: 'far', client: `${CLIENT[4]}:40000`, frontend: `${FAR}:80`, backend: `${REMOTE_POD[4]}:8080` };
  expect(rows()).toEqual([
    expect.objectContaining({ event: 'refused', reason: 'REJECT_NO_BACKEND', name: 'empty', backend: '' }),
    expect.objectContaining({ event: 'new', ...far }),
    expect.objectContaining({ event: 'told', reason: 'TIME_EXCEEDED', ...far }),
    expect.objectContaining({ event: 'told', reason: 'TIME_EXCEEDED', ...far }),
  ]);
});

it('an entry that makes room, in either table: which one it was', () => {
  open(1n << BigInt(EVICTIONS_BIT));
  const port = (i: number) => 10_000 + i;
  for (let i = 0; i < 100; i++) rig.ingress(syn(VIP[4], port(i)));
  const halfOpen = rows();
  const entries = () =>
    new Set([...rig.flows('halfOpenFlows'), ...rig.flows('flows')].map(({ key }) => JSON.stringify(key)));
  // Each took the other entry of its connection along. Of one that has the tag of another nothing is told.
  expect(halfOpen.length).toBeLessThanOrEqual(200 - entries().size);
  expect(halfOpen.length).toBeGreaterThan((200 - entries().size) / 2 - 5);
  expect(new Set(halfOpen.map(({ name }) => name))).toEqual(new Set(['near-4']));
  expect(new Set(halfOpen.map(({ backend: to }) => to))).toEqual(new Set([`${POD[4]}:8080`]));
  expect(halfOpen.map(({ meaning }) => meaning).join()).toMatch(/half-open/);
  rig.forgetFlows();
  for (let i = 0; i < 20; i++) {
    rig.ingress(syn(VIP[4], port(i)));
    rig.egress(packet(POD[4], CLIENT[4]).tcp(8080, port(i), 'S.').build());
    rig.ingress(packet(CLIENT[4], VIP[4]).tcp(port(i), 80, '.').build());
  }
  const established = rows();
  // 20 connections of two entries each, and one bucket of 16: what goes takes the other entry of its connection along.
  expect(rig.flows('flows').length).toBeGreaterThanOrEqual(14);
  expect(established.length).toBeGreaterThanOrEqual((40 - 16) / 2);
  expect(established.length).toBeLessThanOrEqual(40 - 14);
  expect(established.every(({ event, reason }) => event === 'evicted' && reason === 'EVICTED')).toBe(true);
  expect(new Set(established.map(({ client }) => client)).size).toBeGreaterThanOrEqual(12);
});

it('only what is asked for, and only a part of it when that is', () => {
  open(parseReasons('drop-no-snat-port'));
  rig.ingress(syn(FAR, 40000));
  rig.ingress(syn(FAR, 40000, '198.51.100.10'));
  expect(events().map(({ reason }) => reason)).toEqual([REASON_DROP_NO_SNAT_PORT]);
  source?.close();
  open(1n << BigInt(REASON_NEW_FLOW), 10);
  for (let i = 0; i < 1000; i++) rig.ingress(syn(VIP[4], 10_000 + i));
  const sampled = events().length;
  expect(sampled).toBeGreaterThan(30);
  expect(sampled).toBeLessThan(300);
});

it('nothing while none is open, nor when the deadline of one that was killed is over', () => {
  open().close();
  expect(isMonitored(rig.maps.control, process.hrtime.bigint())).toBe(false);
  rig.ingress(syn(VIP[4], 5000));
  open();
  requestEvents(rig.maps.control, { until: process.hrtime.bigint(), reasons: ALL_REASONS, oneIn: 1 });
  rig.ingress(syn(VIP[4], 5001));
  expect(events()).toEqual([]);
  source?.renew();
  rig.ingress(syn(VIP[4], 5002));
  expect(events().map(({ key }) => key.sport)).toEqual([5002]);
});

it('a second one is refused with words; one that comes after gets nothing of the first', () => {
  open();
  expect(() => openEvents(rig.pinDirectory, { reasons: ALL_REASONS, oneIn: 1 })).toThrow(
    /process \d+ holds it; that is another "sluice monitor"/,
  );
  rig.ingress(syn(VIP[4], 5000));
  source?.close();
  open();
  rig.ingress(syn(VIP[4], 5001));
  expect(events().map(({ key }) => key.sport)).toEqual([5001]);
});

it('what finds no room is counted, and the rest comes in its order', () => {
  open();
  const room = Math.floor(1_048_576 / 120);
  for (let i = 0; i < room + 500; i++) {
    // On a busy machine this takes longer than a deadline holds.
    if (i % 100 === 0) source?.renew();
    rig.ingress(syn(EMPTY, 1024 + i));
  }
  const first = events().map(({ key }) => key.sport);
  expect(first).toEqual(Array.from(first, (_, i) => 1024 + i));
  expect(source?.lost()).toBe(room + 500 - first.length);
  expect(source?.lost()).toBeGreaterThan(0);
});

it('as many at once as are asked for', () => {
  open();
  for (let i = 0; i < 10; i++) rig.ingress(syn(EMPTY, 1024 + i));
  const ports: number[] = [];
  const read = () => source?.read(4, ({ key }) => ports.push(key.sport));
  expect([read(), read(), read(), read()]).toEqual([4, 4, 2, 0]);
  expect(ports).toEqual(Array.from({ length: 10 }, (_, i) => 1024 + i));
});
