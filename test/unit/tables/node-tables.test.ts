import { describe, expect, it } from 'vitest';
import {
  cgroupKey,
  cidrKey,
  device,
  deviceKey,
  NODE_ADDRESS_LOCAL,
  NODE_ADDRESS_NODE_PORT,
  nodeAddressKey,
} from '../../../maps-schema/gen/codecs.ts';
import type { NodeTables } from '../../../src/tables/node-tables.ts';
import { createTables } from '../../../src/tables/tables.ts';
import { createMemoryMaps, type MemoryMaps } from '../../support/memory-map.ts';

const eth0 = {
  masquerade4: '192.168.0.1',
  masquerade6: '2001:db8::1',
  flags: 1,
  mtu: 1500,
  xdp: 0,
  master: 0,
  mac: '02:00:00:00:00:01',
};
const first: NodeTables = {
  nodeAddresses: [
    { address: '192.168.0.1', flags: NODE_ADDRESS_LOCAL | NODE_ADDRESS_NODE_PORT },
    { address: '2001:db8::1', flags: NODE_ADDRESS_LOCAL },
  ],
  devices: [{ ifindex: 2, device: eth0 }],
  podCidrs: [
    { address: '10.1.0.0', bits: 16 },
    { address: 'fd00:1::', bits: 64 },
  ],
};

function read(maps: MemoryMaps): NodeTables {
  return {
    nodeAddresses: [...maps.nodeAddresses.entries()].map(({ key, value }) => ({
      address: nodeAddressKey.read(key, 0).address,
      flags: value.readUInt32LE(0),
    })),
    devices: [...maps.devices.entries()].map(({ key, value }) => ({
      ...deviceKey.read(key, 0),
      device: device.read(value, 0),
    })),
    podCidrs: [...maps.podCidrs.entries()].map(({ key }) => {
      const { address, prefixlen } = cidrKey.read(key, 0);
      return { address, bits: prefixlen };
    }),
  };
}

describe('the tables of the node', () => {
  it('hold the rows given, IPv4 networks under 96 more bits', () => {
    const maps = createMemoryMaps();
    createTables(maps).applyNodeTables(first);
    expect(read(maps)).toEqual({
      ...first,
      podCidrs: [
        { address: '10.1.0.0', bits: 112 },
        { address: 'fd00:1::', bits: 64 },
      ],
    });
  });

  it('keep the pods that opted out until they are known after a restart (R-88), and put right what differs (R-91)', () => {
    const maps = createMemoryMaps();
    const cgroups = () => [...maps.socketOptOuts.entries()].map(({ key }) => cgroupKey.read(key, 0).id);
    const large = 0x1_0000_0002n;
    createTables(maps).applyNodeTables({ ...first, socketOptOuts: [7n, large] });
    const tables = createTables(maps);
    tables.applyNodeTables(first);
    expect(cgroups()).toEqual([7n, large]);
    expect(tables.applyNodeTables({ ...first, socketOptOuts: [large, 9n] })).toMatchObject({ rows: 1, deletes: 1 });
    expect(cgroups().sort()).toEqual([large, 9n].sort());
    tables.apply({ changed: [], removed: [] }, { complete: true });
    maps.socketOptOuts.delete([...maps.socketOptOuts.entries()][0]?.key ?? Buffer.alloc(8));
    expect(tables.compare()).toMatchObject([{ map: 'socket_opt_outs', kind: 'missing', expected: 'opted out' }]);
    expect([...tables.repair()].reduce((rows, step) => rows + step, 0)).toBe(1);
    expect(cgroups()).toHaveLength(2);
    tables.applyNodeTables({ ...first, socketOptOuts: [] });
    expect(cgroups()).toEqual([]);
  });

  it('R-54 R-88 change by the least writes, also after a restart', () => {
    const maps = createMemoryMaps();
    createTables(maps).applyNodeTables(first);
    const tables = createTables(maps);
    expect(tables.applyNodeTables(first)).toEqual({ rows: 0, bytes: 0, deletes: 0 });
    const next: NodeTables = {
      nodeAddresses: [...first.nodeAddresses.slice(1), { address: '192.168.0.9', flags: NODE_ADDRESS_LOCAL }],
      devices: [{ ifindex: 2, device: { ...eth0, mtu: 9000 } }],
      podCidrs: [],
    };
    expect(tables.applyNodeTables(next)).toMatchObject({ rows: 2, deletes: 3 });
    expect(read(maps)).toEqual(next);
  });

  it('takes an address that is given twice once', () => {
    const maps = createMemoryMaps();
    const [row] = first.nodeAddresses;
    createTables(maps).applyNodeTables({ nodeAddresses: [row!, { ...row!, flags: 0 }], devices: [], podCidrs: [] });
    expect(read(maps).nodeAddresses).toEqual([row]);
  });

  it('says when there is no room', () => {
    const maps = createMemoryMaps();
    maps.nodeAddresses.limit = 1;
    const tables = createTables(maps);
    expect(() => tables.applyNodeTables(first)).toThrow('update map node_addresses');
    expect(read(maps).podCidrs).toHaveLength(2);
    maps.nodeAddresses.limit = 2;
    tables.applyNodeTables(first);
    expect(read(maps).nodeAddresses).toEqual(first.nodeAddresses);
  });
});
