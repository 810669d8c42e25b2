/** Full maps of the kernel: a tenant who asks for everything, and what the cluster stands on. */
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { knobs } from '../../../maps-schema/gen/codecs.ts';
import { loadPrograms } from '../../../src/bpf/loader.ts';
import { type Maps, openMaps } from '../../../src/bpf/open-maps.ts';
import { ensurePinDirectory } from '../../../src/bpf/paths.ts';
import { DEFAULT_BUDGETS } from '../../../src/model/budgets.ts';
import type { CompiledService } from '../../../src/model/compiled.ts';
import { inTurns } from '../../../src/reconcile/in-turns.ts';
import { frontendKeyOf } from '../../../src/tables/rows.ts';
import { createTables } from '../../../src/tables/tables.ts';
import { backend, frontendOf, service } from '../../unit/tables/fixtures.ts';
import { mountBpffs } from './rig.ts';

const ROOM = 1024;
const undo: (() => void)[] = [];
let maps: Maps;

beforeAll(async () => {
  const bpffs = mountBpffs();
  undo.push(bpffs.remove);
  const pinDirectory = ensurePinDirectory(bpffs.root);
  const loaded = await loadPrograms({
    objectDirectory: fileURLToPath(new URL('../../../dist/bpf', import.meta.url)),
    pinDirectory,
    knobs: knobs.read(Buffer.alloc(knobs.size), 0),
    mapSizes: { frontends: ROOM, backendSlots: ROOM, backendStates: ROOM },
    objects: ['tc.bpf.o'],
  });
  undo.push(() => loaded.close());
  maps = openMaps(pinDirectory);
  undo.push(() => maps.close());
});
afterAll(() => {
  for (const step of undo.reverse()) step();
});

const named = (namespace: string, made: CompiledService): CompiledService => ({
  ...made,
  namespace,
  ports: made.ports.map((port) => ({ ...port, namespace })),
});

/** A Service whose every port is a frontend. */
function wide(name: string, n: number, ports: number, created: number): CompiledService {
  const specs = Array.from({ length: ports }, (_, i) => ({
    portName: `p${i}`,
    frontends: [frontendOf(`10.96.9.${n}`, 1 + i)],
    cluster: [backend(`10.1.9.${n}`)],
  }));
  return named('hostile', service(name, specs, created));
}
const one = (namespace: string, name: string, address: string, created: number): CompiledService =>
  named(namespace, service(name, [{ frontends: [frontendOf(address, 443)], cluster: [backend('10.1.0.1')] }], created));

const hostile = Array.from({ length: 17 }, (_, n) => wide(`a${n}`, n, 100, 100 + n));
const api = one('default', 'kubernetes', '10.96.0.1', 1);
const dns = one('kube-system', 'kube-dns', '10.96.0.10', 5000);
const honest = one('shop', 'web', '10.96.0.20', 6000);

const isServed = (address: string) => maps.frontends.lookup(Buffer.from(frontendKeyOf(address, 443, 'TCP'), 'latin1'));
const start = () => createTables(maps, { budgets: DEFAULT_BUDGETS, graceMs: 0 });

it('17 Services of one namespace leave room for what the cluster stands on, and for others; over restarts too', async () => {
  const tables = start();
  const changed = [...hostile, api, dns, honest];
  const first = await inTurns(tables.applySteps({ changed, removed: [] }, { complete: true }));
  expect(first.failed).toEqual([]);
  expect(first.refused.map(({ namespace }) => namespace)).toEqual(first.refused.map(() => 'hostile'));
  expect(first.refused.map(({ name }) => name)).toEqual(hostile.slice(8).map(({ name }) => name));
  for (const address of ['10.96.0.1', '10.96.0.10', '10.96.0.20']) expect(isServed(address)).toBeDefined();

  for (let restart = 0; restart < 3; restart++) {
    const again = start().apply({ changed: [...changed].reverse(), removed: [] }, { complete: true });
    expect(again).toMatchObject({ written: { rows: 0, deletes: 0 }, failed: [], frontends: first.frontends });
    expect(again.refused).toHaveLength(first.refused.length);
  }
});

it('what comes later of the cluster’s own is served though others fill the rest', () => {
  const tables = start();
  const others = Array.from({ length: 4 }, (_, n) => named(`n${n}`, wide(`b${n}`, 100 + n, 100, 200 + n)));
  tables.apply({ changed: [...hostile, api, honest, ...others], removed: [] }, { complete: true });
  const result = tables.apply({ changed: [dns], removed: [] });
  expect(result.failed.map(({ namespace }) => namespace)).not.toContain('kube-system');
  expect(isServed('10.96.0.10')).toBeDefined();
  expect(isServed('10.96.0.20')).toBeDefined();
  expect(result.frontends).toBeLessThan(ROOM);
});
