/**
 * What the kernel's maps hold for each scenario: the compiler, src/tables and the maps of the real
 * programs together. `UPDATE=1 npx vitest run test/golden/map-contents.test.ts` rewrites
 * expected-maps.txt. Loads programs, so it runs as root.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { knobs } from '../../maps-schema/gen/codecs.ts';
import { loadPrograms } from '../../src/bpf/loader.ts';
import { type Maps, openMaps } from '../../src/bpf/open-maps.ts';
import { ensurePinDirectory } from '../../src/bpf/paths.ts';
import { createTables, type Tables } from '../../src/tables/tables.ts';
import { mountBpffs, SMALL_MAPS } from '../kernel/bpf/rig.ts';
import { compileScenario } from '../support/golden-scenario.ts';
import { renderMaps } from '../support/map-table.ts';

const scenarios = readdirSync(import.meta.dirname, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name)
  .sort();
const undo: (() => void)[] = [];
let maps: Maps;

beforeAll(async () => {
  const bpffs = mountBpffs();
  undo.push(bpffs.remove);
  const pinDirectory = ensurePinDirectory(bpffs.root);
  const loaded = await loadPrograms({
    objectDirectory: fileURLToPath(new URL('../../dist/bpf', import.meta.url)),
    pinDirectory,
    knobs: knobs.read(Buffer.alloc(knobs.size), 0),
    mapSizes: SMALL_MAPS,
    objects: ['tc.bpf.o'],
  });
  undo.push(() => loaded.close());
  maps = openMaps(pinDirectory);
  undo.push(() => maps.close());
});
afterAll(() => {
  for (const step of undo.reverse()) step();
});

/** Makes the maps as they are when they are new. */
function emptyMaps(): void {
  for (const map of [maps.frontends, maps.affinityMembers, maps.sourceRanges, maps.servicePorts]) {
    for (const { key } of [...map.entries()]) map.delete(key);
  }
  maps.backendSlots.view.fill(0);
  maps.backendStates.view.fill(0);
}

function applyScenario(tables: Tables, name: string): string {
  const { changed } = compileScenario(join(import.meta.dirname, name, 'input.yaml'));
  const { failed } = tables.apply({ changed, removed: [] }, { complete: true });
  expect(failed).toEqual([]);
  expect(tables.compare()).toEqual([]);
  return renderMaps(maps);
}

const expectedFile = (name: string) => join(import.meta.dirname, name, 'expected-maps.txt');

describe('into empty maps', () => {
  beforeEach(emptyMaps);

  it.each(scenarios)('%s', (name) => {
    const rendered = applyScenario(createTables(maps), name);
    if (process.env.UPDATE === '1') writeFileSync(expectedFile(name), rendered);
    expect(rendered).toBe(readFileSync(expectedFile(name), 'utf8'));
  });
});

describe('in the place of another', () => {
  let tables: Tables;
  let clock = 0;

  beforeAll(() => {
    emptyMaps();
    tables = createTables(maps, { now: () => clock });
  });

  it.each([...scenarios, ...[...scenarios].reverse()])('%s leaves nothing of the one before', (name) => {
    applyScenario(tables, name);
    clock += 60_000;
    tables.expire();
    expect(renderMaps(maps, { kept: false })).toBe(readFileSync(expectedFile(name), 'utf8'));
  });

  it('a restarted agent finds what it left, and changes nothing', () => {
    for (const name of scenarios) {
      emptyMaps();
      applyScenario(createTables(maps), name);
      const before = renderMaps(maps);
      const { changed } = compileScenario(join(import.meta.dirname, name, 'input.yaml'));
      const { written } = createTables(maps).apply({ changed, removed: [] }, { complete: true });
      expect([name, written]).toEqual([name, { rows: 0, bytes: 0, deletes: 0 }]);
      expect(renderMaps(maps)).toBe(before);
    }
  });
});
