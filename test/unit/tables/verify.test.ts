import { describe, expect, it } from 'vitest';
import { frontend, NODE_ADDRESS_LOCAL } from '../../../maps-schema/gen/codecs.ts';
import { createTables } from '../../../src/tables/tables.ts';
import { createMemoryMaps, type MemoryHash } from '../../support/memory-map.ts';
import { backend, frontendOf, repairAll, service, snapshot } from './fixtures.ts';

function setUp() {
  const maps = createMemoryMaps({ entries: 64 });
  const tables = createTables(maps);
  const web = service('web', [
    {
      portName: 'http',
      frontends: [frontendOf('10.96.0.1'), frontendOf('10.96.0.2')],
      cluster: [backend('10.1.0.1'), backend('10.1.0.2')],
      affinitySeconds: 60,
      sourceRanges: [{ address: '192.0.2.0', bits: 24 }],
    },
  ]);
  tables.apply({ changed: [web], removed: [] }, { complete: true });
  tables.applyNodeTables({
    nodeAddresses: [{ address: '192.168.0.1', flags: NODE_ADDRESS_LOCAL }],
    devices: [
      {
        ifindex: 2,
        device: {
          masquerade4: '192.168.0.1',
          masquerade6: '::',
          flags: 1,
          mtu: 1500,
          xdp: 0,
          master: 0,
          mac: '02:00:00:00:00:01',
        },
      },
    ],
    podCidrs: [{ address: '10.1.0.0', bits: 16 }],
  });
  return { maps, tables };
}

const NAME = 'default/web:http/TCP/IPv4';
const firstRow = (map: MemoryHash): [string, Buffer] => [...map.rows][0] ?? ['', Buffer.alloc(0)];

describe('drift', () => {
  it('is none after a write', () => {
    const { tables } = setUp();
    expect(tables.compare()).toEqual([]);
  });

  it('R-91 finds every row that is gone, says whose it was, and puts it back', () => {
    const { maps, tables } = setUp();
    const before = snapshot(maps);
    const { frontends, serviceAddresses, affinityMembers, sourceRanges, servicePorts } = maps;
    const { nodeAddresses, devices, podCidrs } = maps;
    const ofServices = [frontends, serviceAddresses, affinityMembers, sourceRanges, servicePorts];
    for (const map of [...ofServices, nodeAddresses, devices, podCidrs]) map.rows.clear();
    const found = tables.compare();
    expect(found.map(({ map, kind, row, servicePort }) => `${kind} ${map} ${row} ${servicePort ?? '-'}`)).toEqual([
      `missing affinity_members extent 1 backend 1 ${NAME}`,
      `missing affinity_members extent 1 backend 2 ${NAME}`,
      `missing source_ranges 192.0.2.0/24 ${NAME}`,
      `missing service_ports id 1 ${NAME}`,
      'missing node_addresses 192.168.0.1 -',
      'missing devices device 2 -',
      'missing pod_cidrs 10.1.0.0/16 -',
      `missing frontends 10.96.0.1:80/TCP ${NAME}`,
      `missing frontends 10.96.0.2:80/TCP ${NAME}`,
      `missing service_addresses 10.96.0.1 ${NAME}`,
      `missing service_addresses 10.96.0.2 ${NAME}`,
    ]);
    expect(repairAll(tables)).toBe(found.length);
    expect(snapshot(maps)).toBe(before);
    expect(tables.compare()).toEqual([]);
  });

  it('finds rows that differ, with what is and what should be', () => {
    const { maps, tables } = setUp();
    const before = snapshot(maps);
    const [, value] = firstRow(maps.frontends);
    frontend.write(value, 0, { ...frontend.read(value, 0), internalCount: 1 });
    firstRow(maps.serviceAddresses)[1].writeUInt32LE(0);
    maps.backendSlots.view.writeUInt16BE(9999, 2 * 24 + 16);
    maps.backendStates.view.writeUInt32LE(0, 1 * 8 + 4);
    expect(tables.compare()).toEqual([
      {
        map: 'backend_states',
        kind: 'different',
        row: 'backend 1',
        servicePort: NAME,
        expected: 'generation 1 serving',
        actual: 'generation 1 not serving',
      },
      {
        map: 'backend_slots',
        kind: 'different',
        row: 'slot 2',
        servicePort: NAME,
        expected: '10.1.0.2:8080 backend 2 flags 0',
        actual: '10.1.0.2:9999 backend 2 flags 0',
      },
      {
        map: 'frontends',
        kind: 'different',
        row: '10.96.0.1:80/TCP',
        servicePort: NAME,
        expected: 'id 1 CLUSTER_IP internal 1+2 external 1+2 affinity 60s',
        actual: 'id 1 CLUSTER_IP internal 1+1 external 1+2 affinity 60s',
      },
      {
        map: 'service_addresses',
        kind: 'different',
        row: '10.96.0.1',
        servicePort: NAME,
        expected: 'CLUSTER_IP|PING',
        actual: '-',
      },
    ]);
    expect(repairAll(tables)).toBe(4);
    expect(snapshot(maps)).toBe(before);
  });

  it('finds rows that should not be, and removes them', () => {
    const { maps, tables } = setUp();
    const before = snapshot(maps);
    const { frontends, serviceAddresses, sourceRanges, nodeAddresses, servicePorts } = maps;
    for (const map of [frontends, serviceAddresses, sourceRanges, nodeAddresses, servicePorts]) {
      const [key, value] = firstRow(map);
      map.rows.set(`${key.slice(0, -2)}\x77\x00`, Buffer.from(value));
    }
    const found = tables.compare();
    expect(found.map(({ map, kind }) => `${kind} ${map}`)).toEqual([
      'unexpected source_ranges',
      'unexpected service_ports',
      'unexpected node_addresses',
      'unexpected frontends',
      'unexpected service_addresses',
    ]);
    expect(repairAll(tables)).toBe(5);
    expect(snapshot(maps)).toBe(before);
  });

  it('says when a row cannot be put back, and puts the others back', () => {
    const { maps, tables } = setUp();
    const [gone] = firstRow(maps.frontends);
    maps.frontends.rows.clear();
    maps.frontends.refuse = (key) => key.toString('latin1') === gone;
    expect(() => repairAll(tables)).toThrow('rows are taken');
    expect(tables.compare()).toMatchObject([{ kind: 'missing', row: '10.96.0.1:80/TCP' }]);
    maps.frontends.refuse = undefined;
    repairAll(tables);
    expect(tables.compare()).toEqual([]);
  });
});
