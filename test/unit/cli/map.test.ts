import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { Codec } from '../../../maps-schema/codec.ts';
import {
  agentProcess,
  BACKEND_LOCAL,
  control,
  device,
  deviceKey,
  FRONTEND_CLUSTER_IP,
  FRONTEND_SNAT_POD,
  mark,
  maps as shapes,
  snatBackend,
  snatBackendKey,
  sourceRangeKey,
} from '../../../maps-schema/gen/codecs.ts';
import { MAP_VIEWS } from '../../../src/cli/views/map-rows.ts';
import { writeReport } from '../../../src/model/agent-report.ts';
import { createMaps, kernelWith, put, putFlow, putFrontend, putName, putSlot, sluice } from './fake-kernel.ts';

function shop() {
  const maps = createMaps({ 1: [{ packets: 2n, bytes: 80n }] });
  putName(maps, 1, 'shop/web', 'http');
  putFrontend(
    maps,
    {},
    { internalBase: 1, internalCount: 1, flags: FRONTEND_CLUSTER_IP | FRONTEND_SNAT_POD | (1 << 30) },
  );
  putSlot(maps, 1, { flags: BACKEND_LOCAL });
  putFlow(maps.flows, {}, {});
  const key = { servicePortId: 1, prefixlen: 32 + 96 + 24, address: '203.0.113.0' };
  put(maps.sourceRanges, sourceRangeKey, key, mark, { flags: 0 });
  const huge = { collisions: 2n ** 60n, exhausted: 5n };
  put(maps.snatBackends, snatBackendKey, { address: 'fd00::1', port: 80, proto: 17 }, snatBackend, huge);
  const zero = <T>(codec: Codec<T>) => codec.read(Buffer.alloc(codec.size), 0);
  put(maps.devices, deviceKey, { ifindex: 2 }, device, { ...zero(device), flags: 1, mtu: 1500, xdp: 1 });
  control.write(maps.control.view, 0, { ...zero(control), forwardingMode: 1, flags: 1 });
  agentProcess.write(maps.agentProcess.view, 0, { ...zero(agentProcess), tgid: 7 });
  return maps;
}
const map = (...words: string[]) => sluice(['map', ...words], kernelWith(shop()));

test('map NAME: a column for each field, flags and protocols as words, whose row it is', async () => {
  expect(await map('frontends')).toMatchObject({
    code: 0,
    err: '',
    out: [
      'ADDRESS     PORT   PROTO   SERVICE-PORT-ID   SERVICE         FLAGS                            INTERNAL-BASE   INTERNAL-COUNT   EXTERNAL-BASE   EXTERNAL-COUNT   AFFINITY-SECONDS',
      '10.96.0.1   80     TCP     1                 shop/web:http   CLUSTER_IP,SNAT_POD,0x40000000   1               1                0               0                0',
      '',
    ].join('\n'),
  });
});

test.each([
  ['backend_slots', [{ index: 1, address: '10.244.0.1', port: 8080, flags: ['LOCAL'], backendId: 1 }]],
  ['backend_states', [{ index: 1, generation: 1, flags: ['SERVING'] }]],
  ['source_ranges', [{ network: '203.0.113.0/24', servicePortId: 1, service: 'shop/web:http' }]],
  ['snat_backends', [{ address: 'fd00::1', port: 80, proto: 'UDP', collisions: String(2n ** 60n), exhausted: 5 }]],
  ['devices', [expect.objectContaining({ ifindex: 2, flags: ['NODE'], mtu: 1500, xdp: 'native' })]],
  ['flows', [expect.objectContaining({ saddr: '192.0.2.9', hook: 'ingress', proto: 'TCP', service: 'shop/web:http' })]],
])('map %s -o json', async (name, items) => {
  expect(JSON.parse((await map(name, '-o', 'json')).out)).toEqual({ items });
});

test('the secret of the flow table is not shown', async () => {
  const [row] = JSON.parse((await map('control', '-o', 'json')).out).items as [object];
  expect(row).toMatchObject({ forwardingMode: 'dsr', flags: ['SERVICE_CIDRS4'] });
  expect(JSON.stringify(row)).not.toMatch(/hash/i);
});

test('map: every map but the tags of the flow tables and what has no rows, with a command that there is', async () => {
  const { items } = JSON.parse((await map('-o', 'json')).out) as { items: { name: string; command: string }[] };
  const all = Object.values(shapes).map(({ name }) => name);
  expect(items.map(({ name }) => name).sort()).toEqual(
    all.filter((name) => !['choice_turns', 'flow_buckets', 'half_open_buckets', 'monitor'].includes(name)).sort(),
  );
  const maps = shop();
  writeReport(maps.report.view, { version: '1', node: 'n', problems: [], configuration: [] } as never);
  for (const { name, command } of items) {
    expect(await sluice(['map', name, '--limit', '3'], kernelWith(maps))).toMatchObject({ code: 0 });
    const { code } = await sluice([...command.split(' ').slice(1), '--help'], kernelWith(maps));
    expect({ command, code }).toEqual({ command, code: 0 });
  }
});

test('docs/inspect.md maps each table to the same command', () => {
  const page = readFileSync(new URL('../../../docs/inspect.md', import.meta.url), 'utf8');
  const rows = page.matchAll(/^\| `(\w+)` \| .* \| `(sluice .*)` \|$/gm);
  const documented = Object.fromEntries([...rows].map(([, name, command]) => [name, command]));
  const views = Object.entries(MAP_VIEWS) as [keyof typeof MAP_VIEWS, { command: string }][];
  expect(documented).toEqual(Object.fromEntries(views.map(([name, { command }]) => [shapes[name].name, command])));
});

test('an empty map, a limit, a name that is none', async () => {
  expect(await map('peers')).toMatchObject({ code: 0, out: '', err: 'the map peers is empty\n' });
  expect((await map('counters', '--limit', '2', '--no-headers')).out).toBe(
    'FORWARDED   2         80\nNOT_OURS    0         0\n',
  );
  expect(await map('flow_buckets')).toMatchObject({ code: 2, err: expect.stringContaining('Allowed choices are') });
});
