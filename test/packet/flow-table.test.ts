/** The table of established flows: what a bucket does when it is crowded, full, and emptied again. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { encode } from '../../maps-schema/codec.ts';
import {
  FLOW_CLOSING_FIN,
  flow as flowCodec,
  flowKey,
  TABLE_FLOWS_ADDED,
  TABLE_FLOWS_REMOVED,
} from '../../maps-schema/gen/codecs.ts';
import { flowPlaces } from '../../src/bpf/flow-table.ts';
import { evictedEntries } from '../../src/bpf/table-events.ts';
import { packet } from '../support/packet/builder.ts';
import { readBuckets } from '../support/packet/flow-rows.ts';
import { CLIENT, POD } from '../support/packet/network.ts';
import { createPacketRig, type FlowRow, type PacketRig } from '../support/packet/rig.ts';
import { backend, frontend, service } from '../support/packet/services.ts';

const VIP = '10.96.0.10';
const BUCKETS = 64;
const ROOM = BUCKETS * flowPlaces('flows');
const FIRST_PORT = 20_000;
const JIFFIES_PER_SECOND = 1000;
let rig: PacketRig;

beforeAll(async () => {
  rig = await createPacketRig({}, 'tc', { flows: BUCKETS });
});
afterAll(() => rig?.remove());
beforeEach(() => rig.serve(service('web', { frontends: [frontend(VIP, 80)], cluster: [backend(POD[4])] })));

const client = (port: number, flags: string) => rig.ingress(packet(CLIENT[4], VIP).tcp(port, 80, flags).build());
const answer = (port: number, flags: string) => rig.egress(packet(POD[4], CLIENT[4]).tcp(8080, port, flags).build());

/** Two entries. */
function establish(port: number): void {
  client(port, 'S');
  answer(port, 'S.');
  client(port, '.');
}

const portOf = ({ key }: FlowRow) => (key.saddr === CLIENT[4] ? key.sport : key.dport);
const ports = () => [...new Set(rig.flows('flows').map(portOf))].sort((a, b) => a - b);
const range = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);

const buckets = () => readBuckets(rig.pinDirectory, 'flows');
const spilled = () => buckets().reduce((sum, bucket) => sum + bucket.spilled, 0);

/** No direction is there without the other. */
function expectWhole(): void {
  const count = new Map<number, number>();
  for (const row of rig.flows('flows')) count.set(portOf(row), (count.get(portOf(row)) ?? 0) + 1);
  expect([...count].filter(([, rows]) => rows !== 2)).toEqual([]);
}

async function evicted(): Promise<number> {
  const { established } = await rig.sweep();
  return evictedEntries(rig.maps.tableEvents, TABLE_FLOWS_ADDED, TABLE_FLOWS_REMOVED, established);
}

function change(which: (row: FlowRow) => boolean, by: (row: FlowRow) => Partial<FlowRow['flow']>): void {
  for (const row of rig.flows('flows'))
    if (which(row)) rig.putFlow('flows', { key: row.key, flow: { ...row.flow, ...by(row) } });
}
const older = (seconds: number) => (row: FlowRow) => ({
  lastSeen: (row.flow.lastSeen - seconds * JIFFIES_PER_SECOND) >>> 0,
});

it('is read with the hash that the data path writes it with', () => {
  for (const port of range(FIRST_PORT, 20)) establish(port);
  const rows = rig.flows('flows');
  expect(rows).toHaveLength(40);
  for (const { key, flow } of rows) {
    const found = rig.maps.flows.lookup(encode(flowKey, key));
    expect(found?.equals(encode(flowCodec, flow))).toBe(true);
  }
  expect(rig.maps.flows.lookup(encode(flowKey, { ...rows[0]!.key, sport: 1 }))).toBeUndefined();
});

it('gives up nothing while there is room, and each flow is found where it stands', async () => {
  const before = await evicted();
  const connections = range(FIRST_PORT, Math.floor((ROOM * 0.6) / 2));
  for (const port of connections) establish(port);
  expect(ports()).toEqual(connections);
  expect(await evicted()).toBe(before);
  expect(spilled()).toBeGreaterThan(0);
  for (const port of connections) {
    expect(client(port, '.').tuple()).toBe(`${CLIENT[4]} ${port} > ${POD[4]} 8080`);
    expect(answer(port, '.').tuple()).toBe(`${VIP} 80 > ${CLIENT[4]} ${port}`);
  }
  expect(rig.flows('halfOpenFlows')).toEqual([]);
});

it('gives the places of what is gone to others, and counts right', async () => {
  const before = await evicted();
  for (let round = 0; round < 5; round++) {
    for (const port of range(FIRST_PORT + 1000 * round, 180)) establish(port);
    change(() => true, older(86_401));
    expect(await rig.sweep()).toMatchObject({ established: 0, removed4: 360 });
    expect(spilled()).toBe(0);
    expect(rig.flows('flows')).toEqual([]);
  }
  expect(await evicted()).toBe(before);
});

it('full, it gives up what was not used for longest (R-74)', async () => {
  const before = await evicted();
  for (const port of range(FIRST_PORT, ROOM)) establish(port);
  const full = rig.flows('flows').length;
  expect(full).toBeGreaterThan(ROOM * 0.8);
  // Two entries a connection: one was given up, and took the other along.
  expect((await evicted()) - before).toBeGreaterThanOrEqual((2 * ROOM - full) / 2);
  expectWhole();
  const old = new Set(rig.flows('flows').map(portOf));
  change(() => true, older(60));
  const fresh = range(FIRST_PORT + 5000, 8);
  for (const port of fresh) establish(port);
  const now = rig.flows('flows').map(portOf);
  // The new ones push out none of each other.
  for (const port of fresh) expect(now.filter((each) => each === port)).toHaveLength(2);
  expect(now.length).toBeGreaterThanOrEqual(full - 2 * fresh.length);
  expectWhole();
  expect(now.every((port) => old.has(port) || fresh.includes(port))).toBe(true);
  expect(buckets().every((bucket) => bucket.spilled <= ROOM)).toBe(true);
});

it('full, it gives up connections that are closed before those that are idle (R-74)', () => {
  for (const port of range(FIRST_PORT, ROOM)) establish(port);
  const keys = () => rig.flows('flows').map(({ key }) => JSON.stringify(key));
  // Some in each bucket: rows come by bucket.
  const closed = new Set(
    rig
      .flows('flows')
      .filter((_, i) => i % 4 === 0)
      .map(portOf),
  );
  const closing = new Set(
    rig
      .flows('flows')
      .filter((row) => closed.has(portOf(row)))
      .map(({ key }) => JSON.stringify(key)),
  );
  change(
    ({ key }) => closing.has(JSON.stringify(key)),
    (row) => ({ ...older(2)(row), closing: FLOW_CLOSING_FIN }),
  );
  change(({ key }) => !closing.has(JSON.stringify(key)), older(3600));
  const before = new Set(keys());
  for (const port of range(FIRST_PORT + 5000, 4)) establish(port);
  const after = new Set(keys());
  const gone = [...before].filter((key) => !after.has(key));
  expect(gone.length).toBeGreaterThan(0);
  expect(gone.every((key) => closing.has(key))).toBe(true);
});
