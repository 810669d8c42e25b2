/** Rows that the kernel does not delete, or that belong to no Service: the record says so, and they are tried again. */
import { constants } from 'node:os';
import { expect, it } from 'vitest';
import { createTables } from '../../../src/tables/tables.ts';
import { createMemoryMaps } from '../../support/memory-map.ts';
import { backend, counts, frontendOf, service } from './fixtures.ts';

const { EBUSY, ENOMEM, EPERM } = constants.errno;
const web = service('web', [
  {
    frontends: [frontendOf('10.96.0.1')],
    cluster: [backend('10.1.0.1')],
    affinitySeconds: 60,
    sourceRanges: [{ address: '192.0.2.0', bits: 24 }],
  },
]);

function setUp() {
  let now = 0;
  const maps = createMemoryMaps({ entries: 64 });
  const tables = createTables(maps, { now: () => now, graceMs: 10 });
  tables.apply({ changed: [web], removed: [] }, { complete: true });
  const remove = () => {
    const gone = tables.apply({ changed: [], removed: ['default/web'] });
    now += 20;
    return gone;
  };
  return { maps, tables, remove };
}

it.each([
  'servicePorts',
  'sourceRanges',
  'affinityMembers',
] as const)('what could not be deleted is owed until it is: %s', (name) => {
  const { maps, tables, remove } = setUp();
  maps[name].fault = (operation) => (operation === 'delete' ? EBUSY : 0);
  remove();
  const after = tables.apply({ changed: [], removed: [] });
  expect(after).toMatchObject({ owed: 1, whyOwed: expect.stringContaining('EBUSY') });
  expect(maps[name].rows.size).toBe(1);
  maps[name].fault = undefined;
  expect(tables.apply({ changed: [], removed: [] })).toMatchObject({ owed: 0, whyOwed: undefined });
  expect(counts(maps)).toMatchObject({ frontends: 0, servicePorts: 0, sourceRanges: 0, affinityMembers: 0 });
});

it('a frontend that could not be deleted goes with the next apply', () => {
  const { maps, tables, remove } = setUp();
  maps.frontends.fault = (operation) => (operation === 'delete' ? EPERM : 0);
  expect(remove().failed).toHaveLength(1);
  maps.frontends.fault = undefined;
  expect(tables.apply({ changed: [], removed: [] })).toMatchObject({ owed: 0, failed: [] });
  expect(maps.frontends.rows.size).toBe(0);
});

it('what is wanted again is not deleted any more', () => {
  const { maps, tables, remove } = setUp();
  maps.sourceRanges.fault = () => EBUSY;
  remove();
  maps.sourceRanges.fault = undefined;
  expect(tables.apply({ changed: [web], removed: [] })).toMatchObject({ owed: 0, failed: [] });
  tables.apply({ changed: [], removed: [] });
  expect(counts(maps)).toMatchObject({ frontends: 1, servicePorts: 1, sourceRanges: 1, affinityMembers: 1 });
  expect(tables.compare()).toEqual([]);
});

it('a row of the node that fails is told, and the others are written', () => {
  const { maps, tables } = setUp();
  const addresses = ['192.0.2.1', '192.0.2.2'].map((address) => ({ address, flags: 1 }));
  maps.nodeAddresses.fault = (_operation, key) => (key[15] === 1 ? ENOMEM : 0);
  const wanted = { nodeAddresses: addresses, devices: [], podCidrs: [] };
  expect(() => tables.applyNodeTables(wanted)).toThrow(/node_addresses.*no memory/);
  expect(maps.nodeAddresses.rows.size).toBe(1);
  maps.nodeAddresses.fault = undefined;
  tables.applyNodeTables(wanted);
  expect(maps.nodeAddresses.rows.size).toBe(2);
});

it('a row that could not be put back is not counted as put right', () => {
  const { maps, tables } = setUp();
  maps.frontends.rows.clear();
  maps.sourceRanges.rows.clear();
  maps.frontends.fault = () => ENOMEM;
  let right = 0;
  expect(() => {
    for (const rows of tables.repair()) right += rows;
  }).toThrow(/frontends.*no memory/);
  expect(right).toBe(1);
  maps.frontends.fault = undefined;
  right = 0;
  for (const rows of tables.repair()) right += rows;
  expect(right).toBe(1);
  expect(tables.compare()).toEqual([]);
});
