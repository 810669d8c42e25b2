/** who asks for much costs nobody else anything: seniority, budgets, and room for what the cluster stands on. */
import { describe, expect, it } from 'vitest';
import { maps as shapes } from '../../../maps-schema/gen/codecs.ts';
import { DEFAULT_BUDGETS } from '../../../src/model/budgets.ts';
import type { CompiledService } from '../../../src/model/compiled.ts';
import { createTables, type Tables } from '../../../src/tables/tables.ts';
import { createMemoryHash, createMemoryMaps, type MemoryMaps } from '../../support/memory-map.ts';
import { backend, type frontendOf as Frontend, frontendOf, readFrontends, service, wanted } from './fixtures.ts';

/** Frontends that fit. */
const ROOM = 100;

function smallMaps(entries?: number): MemoryMaps {
  const frontends = createMemoryHash({ ...shapes.frontends, maxEntries: ROOM });
  return { ...createMemoryMaps(entries === undefined ? {} : { entries }), frontends };
}

const clock = { now: 0 };
function start(maps: MemoryMaps, changed: CompiledService[], budgets = DEFAULT_BUDGETS) {
  const tables = createTables(maps, { now: () => clock.now, budgets });
  return { tables, first: tables.apply({ changed, removed: [] }, { complete: true }) };
}

const apply = (tables: Tables, changed: CompiledService[], removed: string[] = []) =>
  tables.apply({ changed, removed });

const inNamespace = (namespace: string, made: CompiledService): CompiledService => ({
  ...made,
  namespace,
  ports: made.ports.map((port) => ({ ...port, namespace })),
});

let addresses = 0;
/** A Service of one port with so many frontends and backends. */
function asking(name: string, count: number, created: number, namespace = 'tenant', backends = 1): CompiledService {
  const net = ++addresses;
  const frontends: ReturnType<typeof Frontend>[] = [];
  for (let i = 0; i < count; i++) frontends.push(frontendOf(`10.${net}.${i >> 8}.${i & 255}`));
  const cluster = Array.from({ length: backends }, (_, i) => backend(`10.${net}.100.${i}`));
  return inNamespace(namespace, service(name, [{ frontends, cluster }], created));
}
const essential = (created = 9000) => asking('kubernetes', 1, created, 'default');

describe('budgets', () => {
  it('a Service has a quarter of a table, and is told so by name', () => {
    const fits = asking('fits', 25, 1);
    const { first } = start(smallMaps(), [fits, asking('greedy', 26, 0)]);
    expect(first).toMatchObject({ services: 2, failed: [], frontends: 25 });
    expect(first.refused).toEqual([
      {
        kind: 'Service',
        namespace: 'tenant',
        name: 'greedy',
        field: 'spec',
        message: expect.stringMatching(
          /^needs 26 entries of map frontends, and one Service may have 25 \(--service-budget\): what does not fit is not served; use fewer ports or endpoints/,
        ),
      },
    ]);
  });

  it('so has a Service of many ports: the ports that fit are served', () => {
    const maps = smallMaps();
    const ports = Array.from({ length: 30 }, (_, i) => ({
      portName: `p${i}`,
      frontends: [frontendOf('10.0.0.1', 1000 + i)],
      cluster: [backend('10.1.0.1', 80)],
    }));
    const { first } = start(maps, [service('many', ports)]);
    expect(first.refused).toHaveLength(1);
    expect(maps.frontends.rows.size).toBe(25);
  });

  it('a namespace has four fifths; another one what is left, but for the room of what is essential', () => {
    const maps = smallMaps();
    const tenants = [1, 2, 3, 4].map((n) => asking(`s${n}`, 21, n));
    const other = asking('other', 18, 10, 'other');
    const more = asking('more', 1, 11, 'more');
    const { tables, first } = start(maps, [...tenants, other, more]);
    expect(first.refused.map(({ name, message }) => [name, message.slice(0, 60)])).toEqual([
      ['s4', 'needs 84 entries of map frontends, and one namespace may hav'],
    ]);
    expect(maps.frontends.rows.size).toBe(63 + 19);
    const late = apply(tables, [asking('last', 17, 20, 'other')]);
    expect(late.refused.map(({ name, message }) => [name, message])).toEqual([
      ['s4', expect.stringContaining('one namespace')],
      [
        'last',
        expect.stringMatching(/^map frontends is full but for what is kept for default\/kubernetes, kube-system/),
      ],
    ]);
    expect(apply(tables, [asking('fill', 16, 21, 'other')]).refused).toHaveLength(2);
    const after = apply(tables, [essential()]);
    expect(after.refused.map(({ name }) => name)).toEqual(['s4', 'last']);
    expect(maps.frontends.rows.size).toBe(99);
  });

  it('slots: who churns leaves room for what is essential', () => {
    const maps = smallMaps(200);
    const wide = { ...DEFAULT_BUDGETS, servicePercent: 100, namespacePercent: 100 };
    const { tables } = start(maps, [asking('churn', 1, 0, 'tenant', 100)], wide);
    // All of its slots anew, while those of before rest: there is no room, and nothing of the last two per cent is taken.
    expect(apply(tables, [asking('churn', 1, 0, 'tenant', 96)]).failed.map(({ name }) => name)).toEqual(['churn']);
    expect(apply(tables, [asking('kubernetes', 1, 5, 'default', 3)]).failed.map(({ name }) => name)).toEqual(['churn']);
    expect([...readFrontends(maps).values()].map(({ port }) => port)).toContain('default/kubernetes:/6/4');
  });
});

describe('long lists that change without end', () => {
  it('leave room for the small changes of others', () => {
    const maps = smallMaps(332);
    const wide = { ...DEFAULT_BUDGETS, servicePercent: 100, namespacePercent: 100 };
    const small = asking('small', 1, 9, 'other', 3);
    const churning = (n: number) => asking(`churn${n}`, 1, n, 'tenant', 40);
    const { tables } = start(maps, [1, 2, 3, 4].map(churning).concat(small), wide);
    for (let round = 0; round < 5; round++) {
      apply(tables, [1, 2, 3, 4].map(churning));
      const other = asking('small', 1, 9, 'other', 3 + round);
      expect(apply(tables, [other]).failed.map(({ name }) => name)).not.toContain('small');
      clock.now += 100;
    }
  });
});

describe('seniority', () => {
  const greedy = (created: number) => asking(`g${created}`, 20, created);

  it('the oldest Services are served, whatever their names, and what is essential before all', () => {
    const maps = smallMaps();
    const all = [asking('a-young', 20, 50), ...[1, 2, 3, 4].map(greedy), essential()];
    const { first } = start(maps, all);
    expect(first.refused.map(({ name }) => name)).toEqual(['a-young']);
    expect(readFrontends(maps)).toEqual(wanted(all.slice(1)));
  });

  it('what is in force is not pushed out by older Services, not over a restart either', () => {
    const maps = smallMaps();
    const young = [10, 11, 12, 13].map(greedy);
    start(maps, young);
    const old = greedy(1);
    const { tables, first } = start(maps, [old, ...young]);
    expect(first).toMatchObject({ written: { rows: 0, deletes: 0 }, failed: [] });
    expect(first.refused.map(({ name }) => name)).toEqual(['g1']);
    expect(readFrontends(maps)).toEqual(wanted(young));
    expect(apply(tables, [old]).refused).toHaveLength(1);
    expect(readFrontends(maps)).toEqual(wanted(young));
  });

  it('a Service in force above a budget that was lowered stays, and may change and shrink', () => {
    const maps = smallMaps();
    const big = asking('big', 20, 1);
    start(maps, [big]);
    const lower = { ...DEFAULT_BUDGETS, servicePercent: 10 };
    const { tables, first } = start(maps, [big], lower);
    expect(first.refused).toEqual([]);
    const [port] = big.ports;
    const moved = { ...big, ports: [{ ...big.ports[0], lists: { cluster: [backend('10.9.9.9')], local: [] } }] };
    expect(port).toBeDefined();
    expect(apply(tables, [moved as CompiledService]).refused).toEqual([]);
    expect([...readFrontends(maps).values()][0]?.internal).toEqual(['10.9.9.9:8080/0']);
  });

  it('who waits is served, the oldest first, once there is room', () => {
    const maps = smallMaps();
    const { tables } = start(maps, [1, 2, 3, 4].map(greedy));
    expect(apply(tables, [greedy(30), greedy(20)]).refused.map(({ name }) => name)).toEqual(['g20', 'g30']);
    expect(apply(tables, []).written.rows).toBe(0);
    expect(apply(tables, [], ['tenant/g1']).refused.map(({ name }) => name)).toEqual(['g30']);
    expect(apply(tables, [], ['tenant/g30']).refused).toEqual([]);
    expect(apply(tables, [], ['tenant/g2']).frontends).toBe(60);
  });
});

describe('steps', () => {
  it('a change may be paused anywhere: no address before its frontends, and what packets see is whole', () => {
    const maps = createMemoryMaps();
    const tables = createTables(maps, { now: () => clock.now });
    const all = Array.from({ length: 300 }, (_, i) =>
      service(`s${i}`, [
        { portName: 'a', frontends: [frontendOf(`10.96.${i >> 8}.${i & 255}`, 80)], cluster: [backend('10.1.0.1')] },
        { portName: 'b', frontends: [frontendOf(`10.96.${i >> 8}.${i & 255}`, 81)], cluster: [backend('10.1.0.2')] },
      ]),
    );
    let pauses = 0;
    const seen = new Set<number>();
    const steps = tables.applySteps({ changed: all, removed: [] }, { complete: true });
    for (let step = steps.next(); !step.done; step = steps.next()) {
      pauses++;
      readFrontends(maps);
      seen.add(maps.frontends.rows.size);
      if (maps.serviceAddresses.rows.size > 0) expect(maps.frontends.rows.size).toBe(600);
      expect(tables.compare()).toEqual([]);
      expect(() => tables.apply({ changed: [], removed: [] })).toThrow('a change is being written');
    }
    expect(pauses).toBeGreaterThan(300);
    expect(seen.size).toBeGreaterThan(3);
    expect(readFrontends(maps)).toEqual(wanted(all));
    expect(tables.apply({ changed: [], removed: [] }).written.rows).toBe(0);
  });
});
