import { describe, expect, it } from 'vitest';
import { FRONTEND_LOAD_BALANCER, FRONTEND_NODE_PORT, FRONTEND_SOURCE_RANGES } from '../../../maps-schema/gen/codecs.ts';
import { createTables } from '../../../src/tables/tables.ts';
import { createMemoryMaps } from '../../support/memory-map.ts';
import { backend, counts, frontendOf, readFrontends, service, stateById, stateOf, wanted } from './fixtures.ts';

const A = backend('10.1.0.1');
const B = backend('10.1.0.2');
const C = backend('10.1.0.3');

function setUp(options: { readonly remember?: number } = {}) {
  let now = 0;
  const maps = createMemoryMaps({ entries: 256 });
  const tables = createTables(maps, { now: () => now, ...options });
  const apply = (...changed: ReturnType<typeof service>[]) => tables.apply({ changed, removed: [] });
  const wait = (ms: number): void => {
    now += ms;
  };
  return { maps, tables, apply, wait };
}

const web = (cluster = [A, B], more = {}) =>
  service('web', [{ frontends: [frontendOf('10.96.0.1')], cluster, ...more }]);

describe('apply', () => {
  it('R-4 writes nothing until the desired state is complete', () => {
    const { maps, tables } = setUp();
    expect(tables.apply({ changed: [web()], removed: [] }).written).toEqual({ rows: 0, bytes: 0, deletes: 0 });
    expect(maps.frontends.rows.size).toBe(0);
    const result = tables.apply({ changed: [web()], removed: [] }, { complete: true });
    expect(result).toMatchObject({ services: 1, frontends: 1, backends: 2, failed: [], problems: [] });
    expect(readFrontends(maps)).toEqual(wanted([web()]));
  });

  it('writes nothing for a Service that did not change', () => {
    const { tables, apply } = setUp();
    tables.apply({ changed: [web()], removed: [] }, { complete: true });
    expect(apply(web()).written).toEqual({ rows: 0, bytes: 0, deletes: 0 });
  });

  it('writes a handful of rows for one endpoint', () => {
    const { maps, tables, apply } = setUp();
    tables.apply({ changed: [web()], removed: [] }, { complete: true });
    // One state, an extent of three slots, one frontend.
    expect(apply(web([A, B, C])).written).toMatchObject({ rows: 5, deletes: 0 });
    expect(readFrontends(maps)).toEqual(wanted([web([A, B, C])]));
  });

  it('R-18 lets two equal lists share an extent', () => {
    const { maps, tables } = setUp();
    const node = frontendOf('0.0.0.0', 30080, { flags: FRONTEND_NODE_PORT, external: 'local' });
    const same = service('web', [{ frontends: [frontendOf('10.96.0.1'), node], cluster: [A, B], local: [A, B] }]);
    tables.apply({ changed: [same], removed: [] }, { complete: true });
    expect(readFrontends(maps)).toEqual(wanted([same]));
    // Two states, two slots, one name, two frontends.
    const apart = service('web', [{ frontends: [frontendOf('10.96.0.1'), node], cluster: [A, B], local: [A] }]);
    expect(tables.apply({ changed: [apart], removed: [] }).written.rows).toBe(1 + 1);
    expect(readFrontends(maps)).toEqual(wanted([apart]));
  });

  it('R-15 keeps protocols on one number apart', () => {
    const { maps, tables, apply } = setUp();
    const dns = (udp: boolean) =>
      service('dns', [
        { frontends: [frontendOf('10.96.0.10', 53)], cluster: [A] },
        ...(udp ? [{ protocol: 'UDP' as const, frontends: [frontendOf('10.96.0.10', 53)], cluster: [B] }] : []),
      ]);
    tables.apply({ changed: [dns(true)], removed: [] }, { complete: true });
    expect(readFrontends(maps)).toEqual(wanted([dns(true)]));
    apply(dns(false));
    expect(readFrontends(maps)).toEqual(wanted([dns(false)]));
  });

  it('R-17 leaves nothing of a Service that is deleted', () => {
    const { maps, tables, apply, wait } = setUp();
    tables.apply({ changed: [web()], removed: [] }, { complete: true });
    const before = counts(maps);
    const full = service('full', [
      {
        frontends: [frontendOf('10.96.0.2', 80, { flags: FRONTEND_LOAD_BALANCER | FRONTEND_SOURCE_RANGES })],
        cluster: [A, B, C],
        affinitySeconds: 100,
        sourceRanges: [{ address: '192.0.2.0', bits: 24 }],
      },
    ]);
    apply(full);
    expect(counts(maps)).toEqual({
      frontends: 2,
      serviceAddresses: 2,
      affinityMembers: 3,
      sourceRanges: 1,
      servicePorts: 2,
      serving: 5,
    });
    tables.apply({ changed: [], removed: ['default/full'] });
    expect(counts(maps)).toEqual({ ...before, servicePorts: 2 });
    expect(tables.nextExpiry()).toBe(1000);
    wait(1000);
    tables.expire();
    expect(counts(maps)).toEqual(before);
    expect(tables.nextExpiry()).toBeUndefined();
  });

  it('R-66 takes SERVING from a backend that stops to serve, and only from it', () => {
    const { maps, tables, apply } = setUp();
    tables.apply({ changed: [web([A, B, C])], removed: [] }, { complete: true });
    const a = stateOf(maps, A.address)?.id ?? 0;
    const b = stateOf(maps, B.address)?.id ?? 0;
    const kept = { ...B, terminating: true };
    apply(web([C], { serving: [kept, C] }));
    expect(stateById(maps, a).serving).toBe(false);
    expect(stateById(maps, b)).toEqual({ id: b, generation: 1, serving: true });
    expect(apply(web([C], { serving: [kept, C] })).written.rows).toBe(0);
    apply(web([C]));
    expect(stateById(maps, b).serving).toBe(false);
  });

  it('R-66 gives a backend that serves on its id back once it is selectable again', () => {
    const { maps, tables, apply } = setUp();
    tables.apply({ changed: [web([A])], removed: [] }, { complete: true });
    const before = stateOf(maps, A.address);
    apply(web([], { serving: [A] }));
    expect(readFrontends(maps)).toEqual(wanted([web([])]));
    apply(web([A]));
    expect(stateOf(maps, A.address)).toEqual(before);
  });

  it('R-67 takes SERVING when the last backend goes and when the Service goes', () => {
    const { maps, tables, apply } = setUp();
    tables.apply({ changed: [web([A])], removed: [] }, { complete: true });
    apply(web([]));
    expect(counts(maps).serving).toBe(0);
    expect(readFrontends(maps)).toEqual(wanted([web([])]));
    apply(web([A]));
    tables.apply({ changed: [], removed: ['default/web'] });
    expect(counts(maps)).toMatchObject({ serving: 0, frontends: 0 });
  });

  it('raises the generation when an id is given to another backend, after the grace period', () => {
    const { maps, tables, apply, wait } = setUp({ remember: 0 });
    tables.apply({ changed: [web([A])], removed: [] }, { complete: true });
    const a = stateOf(maps, A.address);
    apply(web([B]));
    expect(stateOf(maps, B.address)?.id).not.toBe(a?.id);
    wait(1000);
    apply(web([B, C]));
    expect(stateOf(maps, C.address)).toEqual({ id: a?.id, generation: 2, serving: true });
  });

  it('R-110 gives a backend that comes back its id and generation again, whatever came meanwhile', () => {
    const { maps, tables, apply, wait } = setUp();
    tables.apply({ changed: [web([A, B])], removed: [] }, { complete: true });
    const a = stateOf(maps, A.address);
    apply(web([B]));
    expect(stateById(maps, a?.id ?? 0).serving).toBe(false);
    wait(60_000);
    apply(web([B, C]));
    apply(web([A, B, C]));
    expect(stateOf(maps, A.address)).toEqual(a);
    tables.apply({ changed: [], removed: ['default/web'] });
    apply(web([A]));
    expect(stateOf(maps, A.address)).toEqual(a);
  });

  it('reuses extents only after the grace period', () => {
    const { maps, tables, apply, wait } = setUp();
    tables.apply({ changed: [web([A, B])], removed: [] }, { complete: true });
    const bytes = (slot: number) => maps.backendSlots.view.toString('hex', slot * 24, slot * 24 + 48);
    const old = bytes(1);
    apply(web([A, B, C]));
    wait(999);
    apply(web([B, C]));
    expect(bytes(1)).toBe(old);
    wait(1);
    apply(web([A, C]));
    expect(bytes(1)).not.toBe(old);
    expect(readFrontends(maps)).toEqual(wanted([web([A, C])]));
  });

  it('a Service that comes back within the grace period finds its id again', () => {
    const { maps, tables, apply } = setUp();
    tables.apply({ changed: [web()], removed: [] }, { complete: true });
    const names = [...maps.servicePorts.rows.keys()];
    tables.apply({ changed: [], removed: ['default/web'] });
    apply(web());
    expect([...maps.servicePorts.rows.keys()]).toEqual(names);
    expect(tables.nextExpiry()).toBeUndefined();
  });

  it('R-50 turns affinity on and off without another extent', () => {
    const { maps, tables, apply } = setUp();
    tables.apply({ changed: [web()], removed: [] }, { complete: true });
    expect(apply(web([A, B], { affinitySeconds: 60 })).written.rows).toBe(3);
    expect(readFrontends(maps)).toEqual(wanted([web([A, B], { affinitySeconds: 60 })]));
    expect(apply(web()).written).toMatchObject({ rows: 1, deletes: 2 });
    expect(counts(maps).affinityMembers).toBe(0);
  });

  it('R-60 follows source ranges that come, change and go', () => {
    const { maps, tables, apply } = setUp();
    const ranged = (...ranges: string[]) =>
      service('lb', [
        {
          frontends: [
            frontendOf('203.0.113.1', 80, {
              flags: FRONTEND_LOAD_BALANCER | (ranges.length > 0 ? FRONTEND_SOURCE_RANGES : 0),
            }),
          ],
          cluster: [A],
          sourceRanges: ranges.map((address) => ({ address, bits: 24 })),
        },
      ]);
    tables.apply({ changed: [ranged()], removed: [] }, { complete: true });
    for (const ranges of [['192.0.2.0', '198.51.100.0'], ['198.51.100.0'], ['198.51.100.0', '198.51.100.0'], []]) {
      apply(ranged(...ranges));
      expect(counts(maps).sourceRanges).toBe(new Set(ranges).size);
      expect(readFrontends(maps)).toEqual(wanted([ranged(...ranges)]));
    }
  });

  it('R-95 gives a contested frontend to the oldest Service, and to the next when that goes', () => {
    const { maps, tables } = setUp();
    const young = service('a-young', [{ frontends: [frontendOf('192.0.2.7')], cluster: [A] }], 2000);
    const old = service('b-old', [{ frontends: [frontendOf('192.0.2.7')], cluster: [B] }], 1000);
    const first = tables.apply({ changed: [young], removed: [] }, { complete: true });
    expect(first.problems).toEqual([]);
    tables.apply({ changed: [old], removed: [] });
    expect(readFrontends(maps)).toEqual(wanted([old]));
    expect(tables.apply({ changed: [young], removed: [] }).problems).toEqual([
      {
        kind: 'Service',
        namespace: 'default',
        name: 'a-young',
        field: 'spec',
        message: expect.stringContaining('default/b-old'),
      },
    ]);
    expect(readFrontends(maps)).toEqual(wanted([old]));
    tables.apply({ changed: [], removed: ['default/b-old'] });
    expect(readFrontends(maps)).toEqual(wanted([young]));
  });

  it('moves a frontend to another Service in place', () => {
    const { maps, tables } = setUp();
    const one = service('one', [{ frontends: [frontendOf('192.0.2.7')], cluster: [A] }]);
    const two = service('two', [{ frontends: [frontendOf('192.0.2.7')], cluster: [B] }]);
    tables.apply({ changed: [one], removed: [] }, { complete: true });
    expect(tables.apply({ changed: [two], removed: ['default/one'] }).written.deletes).toBe(0);
    expect(readFrontends(maps)).toEqual(wanted([two]));
    expect(counts(maps).serving).toBe(1);
  });
});
