/** Random histories: what packets could see at each step, and what is left at the end. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  FRONTEND_CLUSTER_IP,
  FRONTEND_EXTERNAL_IP,
  FRONTEND_SOURCE_RANGES,
  SERVICE_ADDRESS_CLUSTER_IP,
} from '../../../maps-schema/gen/codecs.ts';
import type { Backend, CompiledService } from '../../../src/model/compiled.ts';
import { createTables, type Tables } from '../../../src/tables/tables.ts';
import { createMemoryMaps, type MemoryMaps } from '../../support/memory-map.ts';
import {
  counts,
  type FrontendText,
  frontendOf,
  readAddresses,
  readFrontends,
  service,
  servingIds,
  snapshot,
  wanted,
  wantedAddresses,
} from './fixtures.ts';

/** Which of the backends 1…5 of a Service are in a list. */
const list = fc.uniqueArray(fc.integer({ min: 1, max: 5 }), { maxLength: 5 }).map((ids) => [...ids].sort());

const version = fc.record({
  name: fc.integer({ min: 0, max: 3 }),
  addresses: fc.uniqueArray(fc.integer({ min: 0, max: 5 }), { maxLength: 3 }),
  /** Services share addresses, with the same port or another. */
  number: fc.constantFrom(80, 81),
  flags: fc.constantFrom(FRONTEND_CLUSTER_IP, FRONTEND_EXTERNAL_IP),
  nodePort: fc.boolean(),
  cluster: list,
  local: list,
  serving: list,
  terminating: list,
  external: fc.constantFrom('cluster' as const, 'local' as const),
  affinitySeconds: fc.constantFrom(0, 0, 60),
  ranges: fc.uniqueArray(fc.integer({ min: 1, max: 3 }), { maxLength: 2 }),
});
type Version = typeof version extends fc.Arbitrary<infer T> ? T : never;

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('set' as const),
      versions: fc.array(version, { minLength: 1, maxLength: 3 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('remove' as const), name: fc.integer({ min: 0, max: 3 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.constantFrom(1, 400, 1000) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
);

function compiled(v: Version): CompiledService {
  const backend = (n: number): Backend => ({
    address: `10.${v.name}.0.${n}`,
    port: 80,
    local: n % 2 === 0,
    terminating: v.terminating.includes(n),
  });
  const flags = v.flags | (v.ranges.length > 0 ? FRONTEND_SOURCE_RANGES : 0);
  const numbers = [...new Set([...v.cluster, ...v.local, ...v.serving])].sort();
  return service(
    `s${v.name}`,
    [
      {
        frontends: [
          ...v.addresses.map((n) => frontendOf(`192.0.2.${n}`, v.number, { flags, external: v.external })),
          ...(v.nodePort ? [frontendOf('0.0.0.0', 30000 + v.name, { flags, external: v.external })] : []),
        ],
        cluster: v.cluster.map(backend),
        local: v.local.map(backend),
        serving: numbers.map(backend),
        affinitySeconds: v.affinitySeconds,
        sourceRanges: v.ranges.map((n) => ({ address: `198.51.${n}.0`, bits: 24 })),
      },
    ],
    v.name,
  );
}

/** The oldest Service wins a contested address: s0 before s1 and so on. */
function desiredRows(services: ReadonlyMap<string, CompiledService>): Map<string, FrontendText> {
  return wanted(oldestLast(services));
}

function oldestLast(services: ReadonlyMap<string, CompiledService>): CompiledService[] {
  return [...services.values()].sort((a, b) => b.created - a.created);
}

/** Frontends and service addresses of one desired state. */
interface State {
  readonly rows: ReadonlyMap<string, FrontendText>;
  readonly addresses: ReadonlyMap<string, number>;
}

/**
 * Every address that packets meet is one of the states' and has all frontends of that state; as a
 * cluster IP, of a state where it is one: there, what finds no frontend is refused (R-32).
 */
function expectAddressesComplete(maps: MemoryMaps, states: readonly State[]): void {
  const present = readFrontends(maps);
  for (const [address, flags] of readAddresses(maps)) {
    const complete = states.some(({ rows, addresses }) => {
      const own = addresses.get(address);
      if (own === undefined || (flags & ~own & SERVICE_ADDRESS_CLUSTER_IP) !== 0) return false;
      return [...rows.keys()].every((key) => !key.startsWith(`${address} `) || present.has(key));
    });
    if (!complete) throw new Error(`${address} is marked ${flags} while frontends of it are missing`);
  }
}

/** Backends that must have an id: those in lists in use, and those that were and still serve. */
function alive(services: ReadonlyMap<string, CompiledService>, before: ReadonlySet<string>): Set<string> {
  const rows = [...desiredRows(services).values()];
  const result = new Set<string>();
  for (const { name, ports } of services.values()) {
    const own = rows.filter((row) => row.port.startsWith(`default/${name}:`));
    for (const row of own)
      for (const text of [...row.internal, ...row.external]) result.add(text.slice(0, text.indexOf('/')));
    for (const { address, port } of ports[0]?.serving ?? []) {
      if (own.length > 0 && before.has(`${address}:${port}`)) result.add(`${address}:${port}`);
    }
  }
  return result;
}

describe('any history', () => {
  it('R-17 R-32 R-66 R-88 shows packets the old set or the new one, survives restarts, and leaves nothing behind', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
        let now = 0;
        let allowed: State[] = [{ rows: new Map(), addresses: new Map() }];
        let fault: unknown;
        const maps: MemoryMaps = createMemoryMaps({
          entries: 512,
          observe: () => {
            try {
              for (const [key, row] of readFrontends(maps))
                expect(allowed.map(({ rows }) => rows.get(key))).toContainEqual(row);
              expectAddressesComplete(maps, allowed);
            } catch (error) {
              fault ??= error;
            }
          },
        });
        const services = new Map<string, CompiledService>();
        let backends = new Set<string>();
        const start = (): Tables => createTables(maps, { now: () => now });
        let tables = start();
        const apply = (changed: CompiledService[], removed: string[], complete = false): number => {
          const rows = desiredRows(services);
          const state = { rows, addresses: wantedAddresses(oldestLast(services)) };
          allowed.push(state);
          const { written, failed } = tables.apply({ changed, removed }, { complete });
          allowed = [state];
          if (fault !== undefined) throw fault;
          expect(failed).toEqual([]);
          expect(readFrontends(maps)).toEqual(rows);
          expect(readAddresses(maps)).toEqual(state.addresses);
          backends = alive(services, backends);
          expect(servingIds(maps).length).toBe(backends.size);
          expect(tables.compare()).toEqual([]);
          return written.rows + written.deletes;
        };
        apply([], [], true);
        for (const action of steps) {
          if (action.kind === 'wait') now += action.ms;
          else if (action.kind === 'remove') {
            services.delete(`s${action.name}`);
            apply([], [`default/s${action.name}`]);
          } else if (action.kind === 'set') {
            const changed = new Map(action.versions.map((v) => [`s${v.name}`, compiled(v)]));
            for (const [name, value] of changed) services.set(name, value);
            apply([...changed.values()], []);
          } else {
            const before = snapshot(maps);
            tables = start();
            expect(apply([...services.values()], [], true)).toBe(0);
            expect(snapshot(maps)).toBe(before);
          }
        }
        services.clear();
        apply([], [], true);
        now += 5000;
        tables.expire();
        expect(new Set(Object.values(counts(maps)))).toEqual(new Set([0]));
      }),
      { numRuns: 100 },
    );
  });
});
