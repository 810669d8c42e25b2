/** A repair goes step by step, with changes between the steps. */
import { describe, expect, it } from 'vitest';
import { STEP_ROWS } from '../../../src/tables/row-table.ts';
import { createTables } from '../../../src/tables/tables.ts';
import { createMemoryMaps } from '../../support/memory-map.ts';
import { backend, frontendOf, readFrontends, repairAll, service, wanted } from './fixtures.ts';

const SERVICES = 500;

function web(n: number, round = 0) {
  const address = (k: number) => `10.${k}.${n >> 8}.${n & 255}`;
  return service(`web${n}`, [
    {
      frontends: [frontendOf(address(96))],
      cluster: Array.from({ length: 1 + ((n + round) % 4) }, (_, k) => backend(address(k), 8080 + round)),
      affinitySeconds: (n + round) % 3 === 0 ? 60 : 0,
      sourceRanges: (n + round) % 2 === 0 ? [{ address: address(192), bits: 32 }] : [],
    },
  ]);
}

function setUp(graceMs?: number) {
  const maps = createMemoryMaps();
  const tables = createTables(maps, graceMs === undefined ? {} : { graceMs });
  const services = new Map(Array.from({ length: SERVICES }, (_, n) => [n, web(n)]));
  tables.apply({ changed: [...services.values()], removed: [] }, { complete: true });
  return { maps, tables, services };
}

describe('a repair under way', () => {
  it.each([0, 60_000])('R-91 takes no change between two steps for drift (ids rest %i ms)', (graceMs) => {
    const { maps, tables, services } = setUp(graceMs);
    let [round, steps, put] = [0, 0, 0];
    for (const rows of tables.repair()) {
      put += rows;
      steps++;
      round++;
      const gone = (steps * 7) % SERVICES;
      const back = (steps * 11) % SERVICES;
      const changed = [back, (steps * 13) % SERVICES, SERVICES + steps].filter((n) => n !== gone);
      services.delete(gone);
      for (const n of changed) services.set(n, web(n, round % 50));
      const objects = changed.flatMap((n) => services.get(n) ?? []);
      tables.apply({ changed: objects, removed: [`default/web${gone}`] });
    }
    expect(steps).toBeGreaterThan(20);
    expect(put).toBe(0);
    expect(tables.compare()).toEqual([]);
    expect(readFrontends(maps)).toEqual(wanted(services.values()));
  });

  it('R-91 puts right what somebody took although a change comes between', () => {
    const { maps, tables, services } = setUp();
    const keys = [...maps.frontends.rows.keys()];
    for (const key of keys.slice(0, 100)) maps.frontends.rows.delete(key);
    for (const key of keys.slice(100, 200)) maps.frontends.rows.get(key)?.fill(0xff);
    maps.backendSlots.view.fill(0xff, 24, 24 * 50);
    maps.backendStates.view.fill(0xff, 8, 8 * 50);
    const repair = tables.repair();
    let put = repair.next().value ?? 0;
    tables.apply({ changed: [web(SERVICES)], removed: [] });
    for (const rows of repair) put += rows;
    expect(put).toBe(100 + 100 + 49 + 49);
    tables.apply({ changed: [], removed: [`default/web${SERVICES}`] });
    expect(tables.compare()).toEqual([]);
    expect(readFrontends(maps)).toEqual(wanted(services.values()));
  });

  it('is put off by its owner without a trace, and another finds everything', () => {
    const { maps, tables } = setUp();
    const repair = tables.repair();
    repair.next();
    maps.frontends.rows.clear();
    repair.return();
    expect(repairAll(tables)).toBe(SERVICES);
    expect(tables.compare()).toEqual([]);
  });

  it('leaves nothing staged when a map cannot be read', () => {
    const { maps, tables } = setUp();
    const foreign = `${'\x42'.repeat(16)}\x00\x50\x06\x00`;
    maps.frontends.rows.set(foreign, Buffer.alloc(28));
    const { entries } = maps.serviceAddresses;
    maps.serviceAddresses.entries = () => {
      throw new Error('no map');
    };
    expect(() => repairAll(tables)).toThrow('no map');
    maps.serviceAddresses.entries = entries;
    expect(maps.frontends.rows.has(foreign)).toBe(false);
    expect(tables.compare()).toEqual([]);
  });
});

describe('a step', () => {
  it('looks at a bounded number of rows, however many there are', () => {
    const { maps, tables } = setUp();
    let read = 0;
    for (const map of Object.values(maps)) {
      if (!('entries' in map)) continue;
      const { entries } = map;
      map.entries = function* () {
        for (const row of entries()) {
          read++;
          yield row;
        }
      };
    }
    const steps: number[] = [];
    let before = 0;
    for (const _ of tables.repair()) {
      steps.push(read - before);
      before = read;
    }
    expect(read).toBeGreaterThan(3 * SERVICES);
    // The rest of one map, and the first rows of the next ones.
    expect(Math.max(...steps)).toBeLessThan(4 * STEP_ROWS);
  });

  it('puts a bounded number of rows right', () => {
    const { maps, tables } = setUp();
    for (const map of [maps.frontends, maps.serviceAddresses, maps.servicePorts]) map.rows.clear();
    const steps = [...tables.repair()];
    expect(steps.reduce((sum, rows) => sum + rows, 0)).toBe(3 * SERVICES);
    expect(Math.max(...steps)).toBeLessThanOrEqual(2 * STEP_ROWS);
    expect(tables.compare()).toEqual([]);
  });
});
