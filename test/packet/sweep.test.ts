/** The walk over the flow tables: what it removes, what it leaves, what it counts. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import {
  TABLE_FLOWS_ADDED,
  TABLE_FLOWS_REMOVED,
  TABLE_HALF_OPEN_ADDED,
  TABLE_HALF_OPEN_REMOVED,
} from '../../maps-schema/gen/codecs.ts';
import { flowPlaces } from '../../src/bpf/flow-table.ts';
import { evictedEntries } from '../../src/bpf/table-events.ts';
import { packet } from '../support/packet/builder.ts';
import { CLIENT, POD, REMOTE_POD } from '../support/packet/network.ts';
import { createPacketRig, type PacketRig } from '../support/packet/rig.ts';
import { backend, frontend, remote, service } from '../support/packet/services.ts';

const VIP = { 4: '10.96.0.10', 6: 'fd00:10:96::a' } as const;
const JIFFIES_PER_SECOND = 1000;
/** Places for half-open flows. */
const SMALL = 512;
let rig: PacketRig;

beforeAll(async () => {
  rig = await createPacketRig({}, 'tc', { halfOpenFlows: SMALL / flowPlaces('halfOpenFlows') });
});
afterAll(() => rig?.remove());

const services = (gone = false) =>
  ([4, 6] as const).flatMap((family) =>
    (['TCP', 'UDP'] as const).map((protocol) =>
      service(`sweep-${protocol}${family}`.toLowerCase(), {
        protocol,
        frontends: [frontend(VIP[family], 80)],
        cluster: gone ? [] : [backend(POD[family])],
      }),
    ),
  );

beforeEach(() => rig.serve(...services()));

/** A connection of which both sides have spoken: two entries in flows. */
function establish(family: 4 | 6, protocol: 'tcp' | 'udp', port = 40000): void {
  const [client, vip, pod] = [CLIENT[family], VIP[family], POD[family]];
  rig.ingress(packet(client, vip)[protocol](port, 80, 'S').build());
  rig.egress(packet(pod, client)[protocol](8080, port, 'S.').build());
  rig.ingress(packet(client, vip)[protocol](port, 80, '.').build());
}

function age(seconds: number, which: (key: { saddr: string }) => boolean = () => true): void {
  for (const table of ['flows', 'halfOpenFlows'] as const) {
    for (const { key, flow } of rig.flows(table)) {
      const lastSeen = (flow.lastSeen - seconds * JIFFIES_PER_SECOND) >>> 0;
      if (which(key)) rig.putFlow(table, { key, flow: { ...flow, lastSeen } });
    }
  }
}

it('a connection that was reset is over after 10 s, in both directions (R-72)', async () => {
  establish(4, 'tcp');
  rig.ingress(packet(CLIENT[4], VIP[4]).tcp(40000, 80, 'R', { seq: 0 }).build());
  age(9);
  expect(await rig.sweep()).toMatchObject({ established: 2, removed4: 0 });
  age(2);
  expect(await rig.sweep()).toMatchObject({ established: 0, removed4: 2 });
});

it('counts what lives and leaves it', async () => {
  establish(4, 'tcp');
  establish(6, 'udp');
  rig.ingress(packet(CLIENT[4], VIP[4]).tcp(41000, 80, 'S').build());
  expect(await rig.sweep()).toMatchObject({ established: 4, halfOpen: 2, removed4: 0, removed6: 0 });
  expect([rig.flows('flows').length, rig.flows('halfOpenFlows').length]).toEqual([4, 2]);
});

it('removes what has outlived its time, by family (R-72)', async () => {
  for (const family of [4, 6] as const) for (const protocol of ['tcp', 'udp'] as const) establish(family, protocol);
  age(121);
  expect(await rig.sweep()).toMatchObject({ established: 4, removed4: 2, removed6: 2 });
  expect(rig.flows('flows').map(({ key }) => key.proto)).toEqual([6, 6, 6, 6]);
  age(86_400);
  expect(await rig.sweep()).toMatchObject({ established: 0, removed4: 2, removed6: 2 });
});

it('removes half-open flows whose time is over, and datagrams’ whose backend serves no more (R-66, R-67, R-72)', async () => {
  for (const family of [4, 6] as const) {
    rig.ingress(packet(CLIENT[family], VIP[family]).tcp(41000, 80, 'S').build());
    rig.ingress(packet(CLIENT[family], VIP[family]).udp(41000, 80).build());
  }
  age(31);
  expect(await rig.sweep()).toMatchObject({ halfOpen: 4, removed4: 2, removed6: 2 });
  expect(new Set(rig.flows('halfOpenFlows').map(({ key }) => key.proto))).toEqual(new Set([6]));
  age(30);
  expect(await rig.sweep()).toMatchObject({ halfOpen: 0, removed4: 2, removed6: 2 });
  rig.ingress(packet(CLIENT[4], VIP[4]).tcp(41000, 80, 'S').build());
  rig.ingress(packet(CLIENT[4], VIP[4]).udp(41000, 80).build());
  rig.change(...services(true));
  expect(await rig.sweep()).toMatchObject({ halfOpen: 2, removed4: 2 });
  expect(new Set(rig.flows('halfOpenFlows').map(({ key }) => key.proto))).toEqual(new Set([6]));
});

it('keeps both entries while one direction still speaks', async () => {
  establish(4, 'udp');
  age(121, ({ saddr }) => saddr === CLIENT[4]);
  expect(await rig.sweep()).toMatchObject({ established: 2, removed4: 0 });
  age(121, ({ saddr }) => saddr === POD[4]);
  expect(await rig.sweep()).toMatchObject({ established: 0, removed4: 2 });
});

it('keeps both entries of a connection that is sent out again', async () => {
  rig.serve(service('far', { frontends: [frontend(VIP[4], 80)], cluster: [remote(REMOTE_POD[4])] }));
  rig.ingress(packet(CLIENT[4], VIP[4]).tcp(40000, 80, 'S').build());
  age(61, ({ saddr }) => saddr === REMOTE_POD[4]);
  expect(await rig.sweep()).toMatchObject({ halfOpen: 2, removed4: 0 });
});

it('removes datagram flows of a backend that serves no more, and leaves connections (R-66, R-67)', async () => {
  establish(4, 'udp');
  establish(4, 'tcp');
  rig.change(...services(true));
  expect(await rig.sweep()).toMatchObject({ established: 2, removed4: 2 });
  expect(rig.flows('flows').map(({ key }) => key.proto)).toEqual([6, 6]);
});

it('what came, what was removed and what is there tell what a full table gave up (R-74)', async () => {
  const evicted = async () => {
    const { established, halfOpen } = await rig.sweep();
    return [
      evictedEntries(rig.maps.tableEvents, TABLE_FLOWS_ADDED, TABLE_FLOWS_REMOVED, established),
      evictedEntries(rig.maps.tableEvents, TABLE_HALF_OPEN_ADDED, TABLE_HALF_OPEN_REMOVED, halfOpen),
    ];
  };
  const [established = 0, halfOpen = 0] = await evicted();
  for (let port = 20_000; port < 20_000 + 2 * SMALL; port++)
    rig.ingress(packet(CLIENT[4], VIP[4]).tcp(port, 80, 'S').build());
  const { halfOpen: present } = await rig.sweep();
  expect(present).toBeLessThanOrEqual(SMALL);
  // Each of those took the other entry of its connection along, unless that had gone before.
  const [same, more = 0] = await evicted();
  expect(same).toBe(established);
  expect(2 * (more - halfOpen)).toBeGreaterThanOrEqual(4 * SMALL - present);
  expect(more - halfOpen).toBeLessThan(4 * SMALL - present);
});
