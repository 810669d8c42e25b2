import { describe, expect, it } from 'vitest';
import { createTables } from '../../../src/tables/tables.ts';
import { createMemoryMaps } from '../../support/memory-map.ts';
import { backend, counts, frontendOf, readFrontends, service, servingIds, wanted } from './fixtures.ts';

const many = (count: number, net = 1) => Array.from({ length: count }, (_, i) => backend(`10.${net}.0.${i + 1}`));
const small = (n: number, more = {}) =>
  service(`s${n}`, [{ frontends: [frontendOf(`10.96.0.${n}`)], cluster: many(2, n), ...more }]);

function setUp(entries = 64) {
  let now = 0;
  const maps = createMemoryMaps({ entries });
  const tables = createTables(maps, { now: () => now });
  tables.apply({ changed: [small(1)], removed: [] }, { complete: true });
  const wait = (ms: number): void => {
    now += ms;
  };
  return { maps, tables, wait };
}

describe('a full map', () => {
  it.each([
    'frontends',
    'servicePorts',
    'affinityMembers',
    'sourceRanges',
  ] as const)('stops one Service, not the others: %s', (name) => {
    const { maps, tables } = setUp();
    const more = { affinitySeconds: 60, sourceRanges: [{ address: '192.0.2.0', bits: 24 }] };
    const three = small(3, { ...more, sourceRanges: [{ address: '198.51.100.0', bits: 24 }] });
    const four = service('s4', [{ frontends: [frontendOf('10.96.0.4')], cluster: many(1, 4) }]);
    // What a map refuses is the second row that comes after the first Service.
    let refused = '';
    maps[name].refuse = (key) => {
      const text = key.toString('latin1');
      if (refused === '' && !maps[name].rows.has(text)) refused = text;
      return text === refused;
    };
    const result = tables.apply({ changed: [small(2, more), three, four], removed: [] });
    expect(result.failed).toEqual([
      {
        kind: 'Service',
        namespace: 'default',
        name: 's2',
        field: 'spec',
        message: expect.stringMatching(`^update map ${maps[name].shape.name}: .*; what does not fit is not served`),
      },
    ]);
    expect(readFrontends(maps)).toEqual(wanted([small(1), three, four]));
    expect(servingIds(maps)).toHaveLength(2 + 2 + 1);

    maps[name].refuse = undefined;
    expect(tables.apply({ changed: [], removed: [] }).failed).toEqual([]);
    expect(readFrontends(maps)).toEqual(wanted([small(1), small(2, more), three, four]));
    expect(counts(maps)).toMatchObject({ affinityMembers: 4, sourceRanges: 2, serving: 2 + 2 + 2 + 1 });
    expect(tables.compare()).toEqual([]);
  });

  it('keeps a Service as it was while its new backends find no slots', () => {
    const { maps, tables } = setUp();
    const large = service('s1', [{ frontends: [frontendOf('10.96.0.1')], cluster: many(63) }]);
    const result = tables.apply({ changed: [large, small(2)], removed: [] });
    expect(result.failed).toMatchObject([
      { name: 's1', message: expect.stringContaining('what does not fit is not served') },
    ]);
    expect(readFrontends(maps)).toEqual(wanted([small(1), small(2)]));
    tables.apply({ changed: [small(1)], removed: [] });
    expect(tables.apply({ changed: [], removed: [] }).written).toEqual({ rows: 0, bytes: 0, deletes: 0 });
  });

  it('gives room back when the grace period is over', () => {
    const { maps, tables, wait } = setUp();
    const large = (net: number) => service('s9', [{ frontends: [frontendOf('10.96.0.9')], cluster: many(40, net) }]);
    expect(tables.apply({ changed: [large(1)], removed: [] }).failed).toEqual([]);
    expect(tables.apply({ changed: [large(2)], removed: [] }).failed).toHaveLength(1);
    tables.apply({ changed: [], removed: ['default/s9'] });
    wait(1000);
    expect(tables.apply({ changed: [large(2)], removed: [] }).failed).toEqual([]);
    expect(readFrontends(maps)).toEqual(wanted([small(1), large(2)]));
  });

  it('names an object whose values fit no field', () => {
    const { maps, tables } = setUp();
    const bad = service('bad', [{ frontends: [frontendOf('10.96.0.8')], cluster: [backend('10.1.1.1', 70000)] }]);
    const long = service('n'.repeat(80), [{ frontends: [frontendOf('10.96.0.7')], cluster: [] }]);
    const port = service('port', [{ frontends: [frontendOf('10.96.0.6', -1)], cluster: [] }]);
    const result = tables.apply({ changed: [bad, long, port, small(2)], removed: [] });
    expect(result.failed.map(({ name }) => name)).toEqual(['bad', 'n'.repeat(80)]);
    expect(result.problems).toMatchObject([{ name: 'port' }]);
    expect(readFrontends(maps)).toEqual(wanted([small(1), small(2)]));
  });
});
