import { expect, test } from 'vitest';
import { BACKEND_LOCAL, dsrBackend, dsrBackendKey, nodeAddressKey } from '../../../maps-schema/gen/codecs.ts';
import type { DirectBackend } from '../../../src/model/forwarding.ts';
import { createTables } from '../../../src/tables/tables.ts';
import { createMemoryMaps, type MemoryMaps } from '../../support/memory-map.ts';
import { backend, frontendOf, repairAll, service } from './fixtures.ts';

const LOCAL: DirectBackend = { address: '10.1.0.1', port: 8080, local: true, node: '192.0.2.1' };
const REMOTE: DirectBackend = { address: '10.1.1.1', port: 8080, local: false, node: '192.0.2.2' };
const LOST: DirectBackend = { address: '10.1.1.2', port: 8080, local: false, node: undefined };

const web = (name: string, directBackends?: readonly DirectBackend[]) =>
  service(name, [
    {
      frontends: [frontendOf(name === 'web' ? '198.51.100.1' : '198.51.100.2')],
      cluster: [backend('10.1.1.1')],
      ...(directBackends && { directBackends }),
    },
  ]);

function rows(maps: MemoryMaps): string[] {
  return [...maps.dsrBackends.entries()]
    .map(({ key, value }) => {
      const { address, servicePortId } = dsrBackendKey.read(key, 0);
      const { node, port, flags } = dsrBackend.read(value, 0);
      return `${servicePortId} ${address} ${node} ${port}${flags & BACKEND_LOCAL ? ' local' : ''}`;
    })
    .sort();
}

test('backends of direct return are written by ServicePort, changed in place and removed', () => {
  const maps = createMemoryMaps();
  const tables = createTables(maps);
  tables.apply({ changed: [web('web', [LOCAL, REMOTE, LOST]), web('www', [REMOTE])], removed: [] }, { complete: true });
  expect(rows(maps)).toEqual([
    '1 10.1.0.1 192.0.2.1 8080 local',
    '1 10.1.1.1 192.0.2.2 8080',
    '1 10.1.1.2 :: 8080',
    '2 10.1.1.1 192.0.2.2 8080',
  ]);
  expect(tables.occupancy().dsrBackends).toBe(4);
  tables.apply({ changed: [web('web', [{ ...REMOTE, node: '192.0.2.9' }])], removed: [] });
  expect(rows(maps)).toEqual(['1 10.1.1.1 192.0.2.9 8080', '2 10.1.1.1 192.0.2.2 8080']);
  tables.apply({ changed: [web('web')], removed: ['default/www'] });
  expect(rows(maps)).toEqual([]);
});

test('R-88: a new agent takes the rows over, and removes those of nobody', () => {
  const maps = createMemoryMaps();
  createTables(maps).apply({ changed: [web('web', [REMOTE])], removed: [] }, { complete: true });
  const key = Buffer.alloc(dsrBackendKey.size);
  dsrBackendKey.write(key, 0, { address: '10.9.9.9', servicePortId: 77 });
  maps.dsrBackends.update(key, Buffer.alloc(dsrBackend.size));
  const tables = createTables(maps);
  const { written } = tables.apply({ changed: [web('web', [REMOTE])], removed: [] }, { complete: true });
  expect(written.rows).toBe(0);
  expect(rows(maps)).toEqual(['1 10.1.1.1 192.0.2.2 8080']);
});

test('R-91: a row that somebody changed is put right', () => {
  const maps = createMemoryMaps();
  const tables = createTables(maps);
  tables.apply({ changed: [web('web', [REMOTE])], removed: [] }, { complete: true });
  const [row] = [...maps.dsrBackends.entries()];
  if (row === undefined) throw new Error('there is no row');
  maps.dsrBackends.update(row.key, Buffer.alloc(dsrBackend.size));
  expect(tables.compare()).toEqual([
    {
      map: 'dsr_backends',
      kind: 'different',
      row: '10.1.1.1',
      servicePort: 'default/web:/TCP/IPv4',
      expected: 'port 8080 on node 192.0.2.2',
      actual: 'port 0 on node ::',
    },
  ]);
  expect(repairAll(tables)).toBe(1);
  expect(rows(maps)).toEqual(['1 10.1.1.1 192.0.2.2 8080']);
});

test('the other nodes are rows of peers', () => {
  const maps = createMemoryMaps();
  const tables = createTables(maps);
  const peers = () => [...maps.peers.entries()].map(({ key }) => nodeAddressKey.read(key, 0).address).sort();
  const none = { nodeAddresses: [], devices: [], podCidrs: [] };
  tables.applyNodeTables({ ...none, peers: ['192.0.2.2', '2001:db8::2'] });
  expect(peers()).toEqual(['192.0.2.2', '2001:db8::2']);
  tables.applyNodeTables({ ...none, peers: ['192.0.2.2'] });
  expect(peers()).toEqual(['192.0.2.2']);
  // Not watched any more: connections that are under way go on.
  tables.applyNodeTables(none);
  expect(peers()).toEqual(['192.0.2.2']);
});
