import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { backendSlot, frontend } from '../../../maps-schema/gen/codecs.ts';
import type { CompiledService } from '../../../src/model/compiled.ts';
import { createTables } from '../../../src/tables/tables.ts';
import { createMemoryMaps, type MemoryMaps } from '../../support/memory-map.ts';
import {
  backend,
  counts,
  frontendOf,
  readAddresses,
  readFrontends,
  repairAll,
  service,
  servingIds,
  snapshot,
  stateOf,
  wanted,
  wantedAddresses,
} from './fixtures.ts';

const A = backend('10.1.0.1');
const B = backend('10.1.0.2', 8080, { local: true });
const C = backend('10.1.0.3', 8080, { terminating: true });

const web = (cluster = [A, B, C], more = {}) =>
  service('web', [{ frontends: [frontendOf('10.96.0.1')], cluster, ...more }]);
const other = service('other', [{ frontends: [frontendOf('10.96.0.2')], cluster: [A], affinitySeconds: 60 }]);

function restart(maps: MemoryMaps, services: CompiledService[], now = () => 0) {
  const tables = createTables(maps, { now });
  return { tables, result: tables.apply({ changed: services, removed: [] }, { complete: true }) };
}

/** A copy of everything in the maps, as a crash at this moment would leave it. */
function copyOf(maps: MemoryMaps): MemoryMaps {
  const copy = createMemoryMaps({ entries: maps.backendSlots.shape.maxEntries });
  const hashes = ['frontends', 'serviceAddresses', 'affinityMembers', 'sourceRanges', 'servicePorts'] as const;
  for (const name of [...hashes, 'nodeAddresses'] as const) {
    for (const [key, value] of maps[name].rows) copy[name].rows.set(key, Buffer.from(value));
  }
  maps.backendSlots.view.copy(copy.backendSlots.view);
  maps.backendStates.view.copy(copy.backendStates.view);
  return copy;
}

describe('a restart', () => {
  it('R-88 writes nothing when nothing has changed', () => {
    const maps = createMemoryMaps({ entries: 256 });
    restart(maps, [web(), other]);
    const before = snapshot(maps);
    const { tables, result } = restart(maps, [web(), other]);
    expect(result).toMatchObject({
      written: { rows: 0, bytes: 0, deletes: 0 },
      services: 2,
      frontends: 2,
      backends: 4,
    });
    expect(snapshot(maps)).toBe(before);
    expect(tables.compare()).toEqual([]);
  });

  it('R-88 keeps ids and generations of backends that are still there', () => {
    const maps = createMemoryMaps({ entries: 256 });
    restart(maps, [web(), other]);
    const ids = [A, B, C].map(({ address }) => stateOf(maps, address));
    const D = backend('10.1.0.0');
    restart(maps, [web([D, A, C]), other]);
    expect(stateOf(maps, A.address)).toEqual(ids[0]);
    expect(stateOf(maps, C.address)).toEqual(ids[2]);
    expect(ids.map((state) => state?.id)).not.toContain(stateOf(maps, D.address)?.id);
  });

  it('R-66 R-88 knows backends that serve on without being selectable', () => {
    const maps = createMemoryMaps({ entries: 256 });
    const { tables } = restart(maps, [web()]);
    tables.apply({ changed: [web([A], { serving: [A, B, C] })], removed: [] });
    expect(servingIds(maps)).toHaveLength(3);
    const { result } = restart(maps, [web([A], { serving: [A, B, C] })]);
    expect(result.written.rows).toBe(0);
    restart(maps, [web([A], { serving: [A, B] })]);
    expect(servingIds(maps)).toHaveLength(2);
  });

  it('R-67 removes what went away while no agent ran', () => {
    const maps = createMemoryMaps({ entries: 256 });
    restart(maps, [web(), other]);
    let now = 0;
    const { tables, result } = restart(maps, [web([A])], () => now);
    expect(result.written.deletes).toBe(1 + 1 + 1);
    expect(readFrontends(maps)).toEqual(wanted([web([A])]));
    now = 1000;
    tables.expire();
    expect(counts(maps)).toEqual({
      frontends: 1,
      serviceAddresses: 1,
      affinityMembers: 0,
      sourceRanges: 0,
      servicePorts: 1,
      serving: 1,
    });
  });

  it('R-4 touches nothing before the desired state is known', () => {
    const maps = createMemoryMaps({ entries: 256 });
    restart(maps, [web(), other]);
    const before = snapshot(maps);
    const tables = createTables(maps);
    tables.apply({ changed: [web([A])], removed: [] });
    tables.applyNodeTables({ nodeAddresses: [], devices: [], podCidrs: [] });
    expect(repairAll(tables)).toBe(0);
    tables.expire();
    expect(snapshot(maps)).toBe(before);
  });

  it('removes rows that belong to nobody', () => {
    const maps = createMemoryMaps({ entries: 256 });
    restart(maps, [web()]);
    const good = counts(maps);
    const [[key = '', value = Buffer.alloc(0)] = []] = maps.frontends.rows;
    const stray = Buffer.from(key, 'latin1');
    stray[15] = 99;
    const nameless = Buffer.from(value);
    nameless.writeUInt32LE(77, 0);
    maps.frontends.rows.set(stray.toString('latin1'), nameless);
    maps.serviceAddresses.rows.set('\x07'.repeat(16), Buffer.alloc(4, 1));
    for (const address of maps.serviceAddresses.rows.values()) address.fill(0);
    maps.servicePorts.rows.set('\x00\x00\x00\x00', Buffer.alloc(196));
    maps.servicePorts.rows.set('\x09\x00\x00\x00', Buffer.alloc(196, 0xff));
    maps.servicePorts.rows.set('\x0a\x00\x00\x00', Buffer.from([...maps.servicePorts.rows.values()][0] ?? []));
    maps.sourceRanges.rows.set('\x20'.padEnd(24, '\x07'), Buffer.alloc(4));
    maps.affinityMembers.rows.set('\x01\x00\x00\x00\x63\x00\x00\x00', Buffer.alloc(4));
    maps.backendStates.view.writeUInt32LE(1, 200 * 8 + 4);
    let now = 0;
    const { tables } = restart(maps, [web()], () => now);
    now = 1000;
    tables.expire();
    expect(counts(maps)).toEqual(good);
    expect(readFrontends(maps)).toEqual(wanted([web()]));
    expect(readAddresses(maps)).toEqual(wantedAddresses([web()]));
  });

  it('lays out afresh what overlaps or names backends of others', () => {
    const maps = createMemoryMaps({ entries: 256 });
    restart(maps, [web(), other]);
    for (const [key, value] of maps.frontends.rows) {
      const row = frontend.read(value, 0);
      frontend.write(value, 0, { ...row, internalBase: 1, internalCount: 3, externalBase: 250, externalCount: 900 });
      maps.frontends.rows.set(key, value);
    }
    restart(maps, [web(), other]);
    expect(readFrontends(maps)).toEqual(wanted([web(), other]));
    expect(restart(maps, [web(), other]).tables.compare()).toEqual([]);
  });

  it('gives a backend that is selectable its SERVING flag back', () => {
    const maps = createMemoryMaps({ entries: 256 });
    restart(maps, [web()]);
    const a = stateOf(maps, A.address);
    maps.backendStates.view.writeUInt32LE(0, (a?.id ?? 0) * 8 + 4);
    restart(maps, [web()]);
    expect(stateOf(maps, A.address)).toEqual(a);
    expect(readFrontends(maps)).toEqual(wanted([web()]));
  });

  it('does not let two ServicePorts share a backend id', () => {
    const maps = createMemoryMaps({ entries: 256 });
    restart(maps, [web(), other]);
    const [, value = Buffer.alloc(0)] = [...maps.frontends.rows][1] ?? [];
    maps.backendSlots.view.writeUInt32LE(1, frontend.read(value, 0).internalBase * 24 + 20);
    const { tables } = restart(maps, [web(), other]);
    tables.apply({ changed: [], removed: ['default/web'] });
    expect(readFrontends(maps)).toEqual(wanted([other]));
  });

  it('removes members that a crash left at the base of an extent that has none', () => {
    const maps = createMemoryMaps({ entries: 256 });
    const { tables } = restart(maps, [web([A, B], { affinitySeconds: 60 })]);
    const members = new Map(maps.affinityMembers.rows);
    tables.apply({ changed: [web([A, B, C])], removed: [] });
    for (const [key, value] of members) maps.affinityMembers.rows.set(key, value);
    restart(maps, [web([A])]);
    expect(counts(maps).affinityMembers).toBe(0);
  });

  it('leaves no remembering slot behind in an extent that is given back', () => {
    const maps = createMemoryMaps({ entries: 256 });
    const { tables } = restart(maps, [web([A])]);
    const remember = service('z', [{ frontends: [frontendOf('10.96.0.9')], cluster: [B, C] }]);
    const forget = service('z', [{ frontends: [frontendOf('10.96.0.9')], cluster: [], serving: [B, C] }]);
    tables.apply({ changed: [remember], removed: [] });
    tables.apply({ changed: [forget], removed: [] });
    tables.apply({ changed: [remember], removed: [] });
    const kept = [...Array(256).keys()].filter(
      (slot) => (backendSlot.read(maps.backendSlots.view, slot * 24).flags & 4) !== 0,
    );
    expect(kept).toEqual([]);
  });

  it('R-88 goes on from a crash at any row', () => {
    const address = fc.integer({ min: 1, max: 6 });
    const lists = fc
      .uniqueArray(address, { maxLength: 5 })
      .map((n) => [...n].sort().map((i) => backend(`10.1.0.${i}`)));
    const spec = fc.record({
      cluster: lists,
      more: lists,
      affinitySeconds: fc.constantFrom(0, 60),
      ranges: fc.integer({ min: 0, max: 2 }),
    });
    fc.assert(
      fc.property(fc.array(spec, { minLength: 3, maxLength: 3 }), fc.nat(30), spec, (specs, crash, last) => {
        const make = ({ cluster, more, affinitySeconds, ranges }: typeof last): CompiledService =>
          service('web', [
            {
              frontends: [frontendOf('10.96.0.1'), frontendOf(`192.0.2.${1 + (cluster.length % 2)}`)],
              cluster,
              serving: [...cluster, ...more.filter(({ address: a }) => cluster.every((b) => b.address !== a))],
              affinitySeconds,
              sourceRanges: [...Array(ranges).keys()].map((n) => ({ address: `198.51.${n}.0`, bits: 24 })),
            },
          ]);
        let operations = 0;
        let left: MemoryMaps | undefined;
        const maps: MemoryMaps = createMemoryMaps({
          entries: 128,
          observe: () => {
            if (operations++ === crash) left = copyOf(maps);
          },
        });
        const { tables } = restart(maps, [make(specs[0] ?? last)]);
        for (const next of specs.slice(1)) tables.apply({ changed: [make(next)], removed: [] });
        const found = left ?? maps;
        let now = 0;
        const again = restart(found, [make(last), other], () => now);
        expect(readFrontends(found)).toEqual(wanted([make(last), other]));
        expect(readAddresses(found)).toEqual(wantedAddresses([make(last), other]));
        expect(again.tables.compare()).toEqual([]);
        again.tables.apply({ changed: [], removed: ['default/other', 'default/web'] });
        now = 1000;
        again.tables.expire();
        expect(counts(found)).toEqual({
          frontends: 0,
          serviceAddresses: 0,
          affinityMembers: 0,
          sourceRanges: 0,
          servicePorts: 0,
          serving: 0,
        });
      }),
      { numRuns: 200 },
    );
  });
});
