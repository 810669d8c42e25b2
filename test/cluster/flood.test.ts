/** A flood of SYNs from sources that do not exist, while others are served. */
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { nextHop, TSX } from '../support/cluster/frames.ts';
import { sluiceJson } from '../support/cluster/kernel.ts';
import { expectNoFailure } from '../support/cluster/load.ts';
import { nodePortOf, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';

import type { FloodOrder } from '../support/traffic/syn-flood.ts';

const SYN_FLOOD = fileURLToPath(new URL('../support/traffic/syn-flood.ts', import.meta.url));
const HERE = 11;
const ELSEWHERE = 12;
/** Each makes two entries or more: the table of half-open flows is run over. */
const SYNS = 50_000;
let rig: Rig;

beforeAll(async () => {
  rig = await createRig();
  rig.manifests.write('services.json', [
    service('here', HERE),
    ...slices('here', [rig.lab.pod(1, 1)]),
    service('elsewhere', ELSEWHERE),
    ...slices('elsewhere', [rig.lab.pod(2, 1)]),
  ]);
  await rig.startAgents({});
});
afterAll(() => rig?.lab.destroy());

interface Table {
  readonly map: string;
  readonly entries: number;
  readonly maxEntries: number;
  readonly evicted?: number;
}

it('cuts no connection and keeps no newcomer out', async () => {
  const { lab } = rig;
  const [node, client] = [lab.node(1), lab.client()];
  const { device, macs } = await nextHop(client, node.ipv4);
  const ports = [HERE, ELSEWHERE].map(nodePortOf);
  const order: FloodOrder = { ifindex: device, macs, to: node.ipv4, ports, count: SYNS, seed: 74 };
  const flood = () =>
    client.run(['node', '--import', TSX, SYN_FLOOD], { input: JSON.stringify(order), timeoutMs: 120_000 });
  const streams = ports.flatMap((port) =>
    [true, false].map((keepAlive) => ({
      name: `${port} ${keepAlive ? 'kept' : 'new'}`,
      from: client,
      options: { protocol: 'http', address: node.ipv4, port, keepAlive } as const,
    })),
  );
  await expectNoFailure(streams, async () => {
    expect(JSON.parse(await flood())).toBe(SYNS);
  });
  const { maps } = await sluiceJson<{ maps: Table[] }>(node, 'status');
  const [established, halfOpen] = ['flows', 'half_open_flows'].map((name) => maps.find(({ map }) => map === name));
  expect(established?.evicted).toBe(0);
  expect(halfOpen?.entries).toBeLessThanOrEqual(halfOpen?.maxEntries ?? 0);
  expect(halfOpen?.evicted).toBeGreaterThan(0);
});
