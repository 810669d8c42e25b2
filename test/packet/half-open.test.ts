/** The table of half-open flows: what makes room in a full bucket, and two keys that look alike. */
import { afterEach, expect, it } from 'vitest';
import { encode } from '../../maps-schema/codec.ts';
import {
  type FlowKey,
  flowKey,
  HOOK_INGRESS,
  TABLE_HALF_OPEN_ADDED,
  TABLE_HALF_OPEN_REMOVED,
} from '../../maps-schema/gen/codecs.ts';
import { flowBuckets } from '../../src/bpf/flow-hash.ts';
import { flowPlaces, flowSecret } from '../../src/bpf/flow-table.ts';
import { evictedEntries } from '../../src/bpf/table-events.ts';
import { packet } from '../support/packet/builder.ts';
import { readBuckets } from '../support/packet/flow-rows.ts';
import { CLIENT, POD } from '../support/packet/network.ts';
import { createPacketRig, type PacketRig } from '../support/packet/rig.ts';
import { backend, frontend, service } from '../support/packet/services.ts';

const PLACES = flowPlaces('halfOpenFlows');
const VIP = '10.96.0.10';
let rig: PacketRig;

afterEach(() => rig?.remove());

async function build(buckets: number): Promise<void> {
  rig = await createPacketRig({}, 'tc', { halfOpenFlows: buckets });
  rig.serve(service('web', { frontends: [frontend(VIP, 80)], cluster: [backend(POD[4])] }));
}

const client = (port: number, flags = 'S') => rig.ingress(packet(CLIENT[4], VIP).tcp(port, 80, flags).build());
const answer = (port: number) => rig.egress(packet(POD[4], CLIENT[4]).tcp(8080, port, 'S.').build());
const clientKey = (sport: number): FlowKey => ({
  saddr: CLIENT[4],
  daddr: VIP,
  sport,
  dport: 80,
  proto: 6,
  hook: HOOK_INGRESS,
});
const clientPorts = () =>
  rig.flows('halfOpenFlows').flatMap(({ key }) => (key.hook === HOOK_INGRESS ? [key.sport] : []));

/** No direction is there without the other: what was put out of a full bucket took it along. */
function expectWhole(): void {
  const rows = rig.flows('halfOpenFlows').map(({ key }) => (key.hook === HOOK_INGRESS ? key.sport : key.dport));
  const alone = rows.filter((port) => rows.indexOf(port) === rows.lastIndexOf(port));
  expect(alone).toEqual([]);
}

it('gives up nothing while a third of its places are taken', async () => {
  await build(64);
  const ports = Array.from({ length: Math.floor((64 * PLACES) / 3 / 2) }, (_, i) => 20_000 + i);
  for (const port of ports) expect(client(port).reasons).toEqual(['NEW_FLOW']);
  expect(rig.flows('halfOpenFlows')).toHaveLength(2 * ports.length);
  const { halfOpen } = await rig.sweep();
  expect(halfOpen).toBe(2 * ports.length);
  const { tableEvents } = rig.maps;
  expect(evictedEntries(tableEvents, TABLE_HALF_OPEN_ADDED, TABLE_HALF_OPEN_REMOVED, halfOpen)).toBe(0);
  for (const port of ports) expect(client(port).reasons).toEqual(['FORWARDED']);
});

it('a flood pushes out its like, not connections that were answered (R-74)', async () => {
  await build(8);
  const answered = [20_001, 20_002, 20_003];
  for (const port of answered) {
    client(port);
    client(port);
    answer(port);
  }
  expect(rig.flows('halfOpenFlows').every(({ flow }) => flow.seen)).toBe(true);
  for (let port = 30_000; port < 30_000 + 10 * 8 * PLACES; port++) client(port);
  expect(rig.flows('halfOpenFlows').length).toBeGreaterThan(8 * PLACES * 0.8);
  expectWhole();
  for (const port of answered) client(port, '.');
  const established = rig.flows('flows').map(({ key }) => (key.hook === HOOK_INGRESS ? key.sport : key.dport));
  expect(established.sort()).toEqual([...answered, ...answered].sort());
});

it('full of what was answered, it makes room all the same: the hand goes round', async () => {
  await build(1);
  for (let port = 20_000; port < 20_000 + PLACES / 2; port++) {
    client(port);
    client(port);
    answer(port);
  }
  expect(rig.flows('halfOpenFlows')).toHaveLength(PLACES);
  const before = clientPorts();
  const fresh = [30_000, 30_001, 30_002, 30_003];
  for (const port of fresh) expect(client(port)).toMatchObject({ verdict: 'NEXT', reasons: ['NEW_FLOW'] });
  expect(rig.flows('halfOpenFlows').length).toBeGreaterThanOrEqual(PLACES - 2 * fresh.length);
  expectWhole();
  // Each has pushed out something else: the last one is whole.
  expect(clientPorts()).toContain(fresh[3]);
  expect(before.filter((port) => !clientPorts().includes(port)).length).toBeGreaterThan(0);
});

it('two keys with the same tag in one bucket are both found, and each is removed alone', async () => {
  await build(1);
  const secret = flowSecret(rig.maps.control.view);
  const portOfTag = new Map<number, number>();
  const pair = (() => {
    for (let port = 1024; port < 65_536; port++) {
      const { tag } = flowBuckets(encode(flowKey, clientKey(port)), secret, 1);
      const other = portOfTag.get(tag);
      if (other !== undefined) return { tag, ports: [other, port] as const };
      portOfTag.set(tag, port);
    }
    throw new Error('find two ports with one tag: there are none');
  })();
  const [one, two] = pair.ports;
  const found = (port: number) => rig.maps.halfOpenFlows.lookup(encode(flowKey, clientKey(port))) !== undefined;
  for (const port of pair.ports) expect(client(port).reasons).toEqual(['NEW_FLOW']);
  const [bucket] = readBuckets(rig.pinDirectory, 'halfOpenFlows');
  expect(bucket?.tags.filter((tag) => tag === pair.tag)).toHaveLength(2);
  // No new flow: each has the one that it began.
  for (const port of pair.ports) expect(client(port).reasons).toEqual(['FORWARDED']);
  answer(one);
  client(one, '.');
  expect([found(one), found(two)]).toEqual([false, true]);
  expect(client(two).reasons).toEqual(['FORWARDED']);
  answer(two);
  client(two, '.');
  expect(rig.flows('halfOpenFlows')).toEqual([]);
  expect(rig.flows('flows')).toHaveLength(4);
});
