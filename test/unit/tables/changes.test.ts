import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  FRONTEND_CLUSTER_IP,
  FRONTEND_EXTERNAL_DROP,
  FRONTEND_EXTERNAL_LOCAL,
  FRONTEND_NODE_PORT,
} from '../../../maps-schema/gen/codecs.ts';
import type { Maps } from '../../../src/bpf/open-maps.ts';
import { changeText } from '../../../src/cli/views/events.ts';
import { type PastPort, readPast } from '../../../src/cli/views/past.ts';
import type { CompiledService } from '../../../src/model/compiled.ts';
import type { HistoryRecord } from '../../../src/model/history.ts';
import { createTables } from '../../../src/tables/tables.ts';
import { createMemoryMaps } from '../../support/memory-map.ts';
import { backend, frontendOf, service } from './fixtures.ts';

const A = backend('10.1.0.1');
const B = backend('10.1.0.2', 8080, { local: true });

const web = (cluster = [A, B], more = {}) =>
  service('web', [{ frontends: [frontendOf('10.96.0.1')], cluster, ...more }]);

function started(...services: CompiledService[]) {
  const maps = createMemoryMaps({ entries: 4096 });
  const tables = createTables(maps);
  tables.apply({ changed: services, removed: [] }, { complete: true });
  const apply = (changed: CompiledService[], removed: string[] = []) => tables.apply({ changed, removed }).changes;
  const texts = (...changed: CompiledService[]) => apply(changed).map(changeText);
  return { maps, apply, texts };
}

describe('what a write changed', () => {
  it('nothing for the rows of a fresh node, nor when nothing is different', () => {
    const tables = createTables(createMemoryMaps({ entries: 4096 }));
    expect(tables.apply({ changed: [web()], removed: [] }, { complete: true }).changes).toEqual([]);
    expect(tables.apply({ changed: [web()], removed: [] }).changes).toEqual([]);
  });

  it('after a restart what is other than before', () => {
    const { maps } = started(web());
    const { changes } = createTables(maps).apply({ changed: [web([A])], removed: [] }, { complete: true });
    expect(changes.map(changeText)).toEqual(['backend 10.1.0.2:8080 left, serving 2 → 1']);
  });

  it('backends that come, go, go on and terminate', () => {
    const { texts } = started(web([A]));
    expect(texts(web([A, B]))).toEqual(['backend 10.1.0.2:8080 joined, serving 1 → 2']);
    expect(texts(web([A], { serving: [A, B] }))).toEqual([
      'backend 10.1.0.2:8080 left, its connections go on, serving 2 → 1',
    ]);
    expect(texts(web([A]))).toEqual(['backend 10.1.0.2:8080 ended']);
    expect(texts(web([{ ...A, terminating: true }]))).toEqual(['backend 10.1.0.1:8080 terminates']);
    expect(texts(web([]))).toEqual(['backend 10.1.0.1:8080 left, serving 1 → none: refuse']);
    expect(texts(web([A]))).toEqual(['backend 10.1.0.1:8080 joined, serving none → 1']);
  });

  it('the two lists, and what an empty one does', () => {
    const outside = (local: (typeof A)[], flags = 0) => {
      const nodePort = FRONTEND_NODE_PORT | FRONTEND_EXTERNAL_LOCAL | flags;
      const frontends = [frontendOf('10.96.0.1'), frontendOf('0.0.0.0', 30080, { flags: nodePort, external: 'local' })];
      return service('web', [{ frontends, cluster: [A, B], local }]);
    };
    const { texts } = started(outside([B]));
    expect(texts(outside([], FRONTEND_EXTERNAL_DROP))).toEqual([
      "backend 10.1.0.2:8080 left the list of this node's, serving outside 1 → none: drop",
    ]);
  });

  it('frontends that come, go and become others; a Service that is new or gone', () => {
    const { apply, texts } = started(web());
    const other = frontendOf('10.96.0.2', 443, { flags: FRONTEND_CLUSTER_IP });
    expect(texts(web([A, B], { frontends: [frontendOf('10.96.0.1'), other] }))).toEqual([
      'frontend 10.96.0.2:443 (ClusterIP) added',
    ]);
    expect(texts(web([A, B], { affinitySeconds: 60 }))).toEqual([
      'frontend 10.96.0.1:80 affinity 0s → 60s, frontend 10.96.0.2:443 removed',
    ]);
    expect(apply([], ['default/web']).map(changeText)).toEqual([
      'frontend 10.96.0.1:80 removed, backends 10.1.0.1:8080 10.1.0.2:8080 left, served no more',
    ]);
    expect(texts(web([A]))).toEqual([
      'frontend 10.96.0.1:80 (ClusterIP) added, backend 10.1.0.1:8080 joined, serving 1',
    ]);
  });
});

describe('how a Service stood', () => {
  it('every state of a random past is found again from the present and the changes', () => {
    const addresses = [A, B, backend('10.1.0.3', 8080, { terminating: true }), backend('10.1.0.4', 9090)];
    const state = fc.record({
      cluster: fc.subarray(addresses),
      local: fc.subarray(addresses),
      kept: fc.subarray(addresses),
      frontends: fc.subarray(['10.96.0.1', '10.96.0.2', '0.0.0.0'], { minLength: 1 }),
      affinitySeconds: fc.constantFrom(0, 60),
    });
    fc.assert(
      fc.property(fc.array(state, { minLength: 2, maxLength: 8 }), (states) => {
        const maps = createMemoryMaps({ entries: 4096 });
        const tables = createTables(maps, { graceMs: 0 });
        const records: HistoryRecord[] = [];
        const seen: PastPort[][] = [];
        const read = (at: number) => readPast(maps as unknown as Maps, records, { name: 'web' }, at);
        states.forEach(({ cluster, local, kept, frontends, affinitySeconds }, at) => {
          const flagsOf = (address: string) =>
            address === '0.0.0.0' ? FRONTEND_NODE_PORT | FRONTEND_EXTERNAL_LOCAL : FRONTEND_CLUSTER_IP;
          const spec = {
            frontends: frontends.map((address) =>
              frontendOf(address, 80, {
                flags: flagsOf(address),
                external: address === '0.0.0.0' ? 'local' : 'cluster',
              }),
            ),
            cluster,
            local,
            serving: [...new Set([...cluster, ...local, ...kept])],
            affinitySeconds,
          };
          const delta = { changed: [service('web', [spec])], removed: [] };
          const { changes } = tables.apply(delta, { complete: at === 0 });
          for (const change of changes) records.push({ kind: 'change', at, by: [], ...change });
          seen.push(read(at));
        });
        expect(states.map((_, at) => read(at))).toEqual(seen);
      }),
    );
  });
});
