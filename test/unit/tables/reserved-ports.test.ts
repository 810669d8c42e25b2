import { describe, expect, it } from 'vitest';
import { FRONTEND_NODE_PORT } from '../../../maps-schema/gen/codecs.ts';
import { formatPortRanges, parsePortRanges, rangesOfBits } from '../../../src/model/ports.ts';
import { createTables, type Tables } from '../../../src/tables/tables.ts';
import { createMemoryMaps } from '../../support/memory-map.ts';
import { backend, frontendOf, type PortSpec, repairAll, service } from './fixtures.ts';

const nodePort = (port: number, more: PortSpec = {}): PortSpec => ({
  portName: `p${port}`,
  frontends: [
    frontendOf('10.96.0.1', port),
    frontendOf(more.family === 'IPv6' ? '::' : '0.0.0.0', port, { flags: FRONTEND_NODE_PORT }),
  ],
  cluster: [backend('10.1.0.1')],
  ...more,
});

function setUp(maps = createMemoryMaps({ entries: 64 })) {
  const tables = createTables(maps);
  const reserve = (text: string, of: Tables = tables) =>
    of.applyNodeTables({ nodeAddresses: [], devices: [], podCidrs: [], reservedPorts: parsePortRanges(text) });
  const { view } = maps.reservedPorts;
  const spared = () => formatPortRanges(rangesOfBits(new Uint32Array(view.buffer, view.byteOffset, 2048)));
  return { maps, tables, reserve, spared };
}

describe('ports that source NAT spares', () => {
  it('are those that the host reserves', () => {
    const { tables, reserve, spared } = setUp();
    tables.apply({ changed: [], removed: [] }, { complete: true });
    expect(reserve('8080,9000-9100,65535')).toMatchObject({ rows: 6 });
    expect(spared()).toBe('8080,9000-9100,65535');
    expect(reserve('8080,9000-9100,65535')).toMatchObject({ rows: 0 });
    reserve('9050');
    expect(spared()).toBe('9050');
    reserve('0-65535');
    expect(spared()).toBe('0-65535');
    reserve('');
    expect(spared()).toBe('');
  });

  it('are NodePorts outside the default range too, as long as some port has them', () => {
    const { tables, spared } = setUp();
    const web = [nodePort(20_001), nodePort(20_001, { protocol: 'UDP' }), nodePort(20_001, { family: 'IPv6' })];
    tables.apply(
      { changed: [service('web', web), service('usual', [nodePort(31_000)])], removed: [] },
      { complete: true },
    );
    expect(spared()).toBe('20001');
    tables.apply({ changed: [service('web', [...web.slice(1), nodePort(40_002)])], removed: [] });
    expect(spared()).toBe('20001,40002');
    tables.apply({ changed: [service('late', [nodePort(40_002)], 5)], removed: [] });
    tables.apply({ changed: [], removed: ['default/web'] });
    expect(spared()).toBe('40002');
    tables.apply({ changed: [], removed: ['default/late'] });
    expect(spared()).toBe('');
  });

  it('are kept for one reason when the other is gone', () => {
    const { tables, reserve, spared } = setUp();
    reserve('20001');
    tables.apply({ changed: [service('web', [nodePort(20_001)])], removed: [] }, { complete: true });
    reserve('20002');
    expect(spared()).toBe('20001-20002');
    reserve('20001');
    tables.apply({ changed: [], removed: ['default/web'] });
    expect(spared()).toBe('20001');
  });

  it('R-4 R-88 stay as they were until everything is known after a restart', () => {
    const before = setUp();
    before.reserve('8080');
    before.tables.apply({ changed: [service('web', [nodePort(20_001)])], removed: [] }, { complete: true });
    const { tables, reserve, spared } = setUp(before.maps);
    reserve('9090');
    tables.apply({ changed: [], removed: [] });
    expect(spared()).toBe('8080,20001');
    tables.apply({ changed: [service('web', [nodePort(20_001)])], removed: [] }, { complete: true });
    expect(spared()).toBe('9090,20001');
  });

  it('R-91 are put right when somebody else changed them', () => {
    const { maps, tables, reserve, spared } = setUp();
    tables.apply({ changed: [], removed: [] }, { complete: true });
    reserve('8080');
    maps.reservedPorts.view.fill(0);
    maps.reservedPorts.view.writeUInt32LE(3, 8);
    expect(tables.compare()).toEqual([
      {
        map: 'reserved_ports',
        kind: 'different',
        row: 'ports 64-95',
        servicePort: undefined,
        expected: 'none',
        actual: '64-65',
      },
      {
        map: 'reserved_ports',
        kind: 'different',
        row: 'ports 8064-8095',
        servicePort: undefined,
        expected: '8080',
        actual: 'none',
      },
    ]);
    expect(repairAll(tables)).toBe(2);
    expect(spared()).toBe('8080');
  });
});
