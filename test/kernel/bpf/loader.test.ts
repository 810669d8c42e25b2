import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as schema from '../../../maps-schema/gen/codecs.ts';
import { openHash } from '../../../src/bpf/hash.ts';
import { measureJiffiesPerSecond } from '../../../src/bpf/jiffies.ts';
import { type LoadedPrograms, type LoadOptions, loadPrograms } from '../../../src/bpf/loader.ts';
import { mapInfo, withPin } from '../../../src/bpf/object.ts';
import { openMaps } from '../../../src/bpf/open-maps.ts';
import { ensurePinDirectory, mapPin, removePinDirectory } from '../../../src/bpf/paths.ts';
import { listPrograms, pinPrograms } from '../../../src/bpf/programs.ts';
import { testRun } from '../../../src/bpf/test-run.ts';
import { zeroKnobs } from './knobs.ts';
import { compileObjects, mountBpffs, SCHEMA, SMALL_MAPS } from './rig.ts';

const FIRST = `const volatile __u64 before = 70;
${SCHEMA}
const volatile __u32 after = 7;
SEC("tc") int read_knob(struct __sk_buff *skb) { return knobs.node_port_max; }
SEC("tc") int read_other(struct __sk_buff *skb) { return before + after; }
SEC("tc") int read_jiffies(struct __sk_buff *skb) { return (__u32)bpf_jiffies64(); }
SEC("tc") int put(struct __sk_buff *skb)
{
	struct service_port_key key = { .id = 5 };
	struct service_port port = { .proto = 6 };

	return bpf_map_update_elem(&service_ports, &key, &port, BPF_ANY);
}
`;
const SECOND = `${SCHEMA}
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} scratch SEC(".maps");
SEC("tc") int get(struct __sk_buff *skb)
{
	struct service_port_key key = { .id = 5 };
	__u32 zero = 0;
	struct service_port *port = bpf_map_lookup_elem(&service_ports, &key);

	bpf_map_lookup_elem(&scratch, &zero);
	return port ? port->proto : 0;
}
`;
const BAD = `${SCHEMA}
SEC("tc") int good(struct __sk_buff *skb) { return 0; }
SEC("tc") int broken(struct __sk_buff *skb)
{
	__u32 index = skb->len;
	struct backend_slot *slot = bpf_map_lookup_elem(&backend_slots, &index);

	return slot->backend_id;
}
`;
const OPTIONAL = `${SCHEMA}
SEC("tc") int good(struct __sk_buff *skb) { return 3; }
SEC("tc") int newer(struct __sk_buff *skb)
{
	long (*unknown)(void) = (void *)100000;

	return unknown();
}
`;
const WITHOUT_KNOBS = 'SEC("tc") int good(struct __sk_buff *skb) { return 3; }';

const FRAME = Buffer.alloc(64);
let bpffs: ReturnType<typeof mountBpffs>;
let objects: ReturnType<typeof compileObjects>;
let pins: string;
const open: LoadedPrograms[] = [];

async function load(names: string[], more: Partial<LoadOptions> = {}): Promise<LoadedPrograms> {
  const loaded = await loadPrograms({
    objectDirectory: objects.directory,
    pinDirectory: pins,
    knobs: { ...zeroKnobs, nodePortMax: 32767 },
    mapSizes: SMALL_MAPS,
    objects: names.map((name) => `${name}.bpf.o`),
    ...more,
  });
  open.push(loaded);
  return loaded;
}
const run = (loaded: LoadedPrograms, name: string) => testRun(loaded.program(name), { data: FRAME }).retval;
const idOf = (map: string) => withPin(mapPin(pins, map), mapInfo)?.id;
const pinned = () => readdirSync(join(pins, 'maps'));

beforeAll(() => {
  bpffs = mountBpffs();
  objects = compileObjects({ first: FIRST, second: SECOND, bad: BAD, optional: OPTIONAL, without: WITHOUT_KNOBS });
});

beforeEach(() => {
  for (const loaded of open.splice(0)) loaded.close();
  removePinDirectory(bpffs.root);
  pins = ensurePinDirectory(bpffs.root);
});

afterAll(() => {
  for (const loaded of open) loaded.close();
  objects?.remove();
  bpffs?.remove();
});

describe('loading', () => {
  it('fixes the knobs and leaves other constants alone', async () => {
    const loaded = await load(['first']);
    expect(run(loaded, 'read_knob')).toBe(32767);
    expect(run(loaded, 'read_other')).toBe(77);
  });

  it('shares the maps between objects, and pins those of the schema only', async () => {
    const loaded = await load(['first', 'second']);
    expect(run(loaded, 'get')).toBe(0);
    expect(run(loaded, 'put')).toBe(0);
    expect(run(loaded, 'get')).toBe(6);
    expect(pinned().sort()).toEqual(
      Object.values(schema.maps)
        .map((m) => m.name)
        .sort(),
    );
    expect([...loaded.created].sort()).toEqual(Object.keys(schema.maps).sort());
  });

  it('sizes new maps as asked, and by the schema otherwise', async () => {
    await load(['first']);
    const maps = openMaps(pins);
    expect(maps.flows.shape.maxEntries).toBe(16 * SMALL_MAPS.flows);
    expect(maps.devices.shape.maxEntries).toBe(schema.maps.devices.maxEntries);
    maps.close();
  });

  it('tells the data path how large the table of flows is: once, and where the run before ended too early', async () => {
    const told = () => {
      const maps = openMaps(pins);
      try {
        return schema.control.read(maps.control.view, 0);
      } finally {
        maps.close();
      }
    };
    (await load(['first'])).close();
    const first = told();
    expect(first.flowBuckets).toBe(SMALL_MAPS.flows);
    expect(first.flowHash).not.toContain(0n);
    (await load(['first'])).close();
    expect(told()).toEqual(first);
    const maps = openMaps(pins);
    schema.control.write(maps.control.view, 0, { ...first, flowBuckets: 0 });
    maps.close();
    await load(['first']);
    expect(told().flowBuckets).toBe(SMALL_MAPS.flows);
    expect(told().flowHash).not.toEqual(first.flowHash);
  });

  it('takes over the maps of the run before, rows and sizes included', async () => {
    const before = await load(['first']);
    run(before, 'put');
    const id = idOf('service_ports');
    before.close();
    const after = await load(['first', 'second'], { mapSizes: { ...SMALL_MAPS, flows: 128 } });
    expect(idOf('service_ports')).toBe(id);
    expect(run(after, 'get')).toBe(6);
    expect(after.created).toEqual([]);
    expect(after.reused.find((map) => map.name === 'flows')).toEqual({
      name: 'flows',
      maxEntries: 64,
      wantedEntries: 128,
    });
    expect(openMaps(pins).flows.shape.maxEntries).toBe(1024);
  });

  it.each([
    ['is kept when both of its maps are there', [], 1],
    ['is emptied when an interrupted start left its rows alone', ['flow_buckets'], 0],
    ['is emptied when an interrupted start left its tags alone', ['flows'], 0],
    ['is emptied when the secret of its hash is gone', ['control'], 0],
  ])('a table of flows %s', async (_, lost, left) => {
    (await load(['first'])).close();
    const taken = (map: 'flows' | 'flowBuckets') => {
      const opened = openHash(mapPin(pins, schema.maps[map].name), schema.maps[map]);
      const used = [...opened.entries()].filter(({ value }) => value.some((byte) => byte !== 0));
      opened.close();
      return used.length;
    };
    for (const map of ['flows', 'flowBuckets'] as const) {
      const opened = openHash(mapPin(pins, schema.maps[map].name), schema.maps[map]);
      opened.update(Buffer.alloc(4), Buffer.alloc(schema.maps[map].valueSize, 1));
      opened.close();
    }
    for (const name of lost) rmSync(mapPin(pins, name));
    await load(['first']);
    expect([taken('flows'), taken('flowBuckets')]).toEqual([left, left]);
  });

  it('makes a map that the version before did not have, and keeps the others', async () => {
    const before = await load(['first']);
    run(before, 'put');
    before.close();
    rmSync(mapPin(pins, 'reserved_ports'));
    const after = await load(['first', 'second']);
    expect(after.created).toEqual(['reservedPorts']);
    expect(run(after, 'get')).toBe(6);
    expect(pinned()).toContain('reserved_ports');
  });

  it('pins programs in the place of those before', async () => {
    const before = await load(['first']);
    pinPrograms(before.programs, pins);
    const ids = listPrograms(pins);
    expect(ids.map((p) => p.name)).toEqual(['put', 'read_jiffies', 'read_knob', 'read_other']);
    const after = await load(['first']);
    pinPrograms(after.programs, pins);
    expect(listPrograms(pins).every((p, i) => p.id > 0 && p.id !== ids[i]?.id)).toBe(true);
  });

  it('measures the jiffies per second', async () => {
    expect([100, 250, 300, 1000]).toContain(await measureJiffiesPerSecond());
  });

  it('leaves out optional programs that the kernel refuses', async () => {
    const loaded = await load(['optional'], { optional: ['newer', 'never'] });
    expect(loaded.skipped).toEqual(['newer']);
    expect([...loaded.programs.keys()]).toEqual(['good']);
    expect(run(loaded, 'good')).toBe(3);
    expect(() => loaded.program('newer')).toThrow(/no such program/);
  });
});

describe('a load that fails', () => {
  it('names a missing object and what makes it', async () => {
    const loading = load(['absent']);
    await expect(loading).rejects.toMatchObject({
      code: 'OBJECT_MISSING',
      message: expect.stringContaining('make build'),
    });
  });

  it("shows the program and the verifier's reason, and pins nothing", async () => {
    const error = await load(['first', 'bad']).catch((e: Error) => e);
    expect(error).toMatchObject({ code: 'LOAD_FAILED' });
    const lines = (error as Error).message.split('\n');
    expect(lines[0]).toBe('load bad.bpf.o: program broken: bpf_object__load: EACCES');
    expect(lines.at(-1)).toContain("invalid mem access 'map_value_or_null'");
    expect(lines.length).toBeLessThan(20);
    expect(pinned()).toEqual([]);
  });

  it('refuses an object without knobs', async () => {
    await expect(load(['without'])).rejects.toMatchObject({ code: 'SCHEMA_MISMATCH' });
  });

  it('refuses a pinned map of another shape and leaves it', async () => {
    const before = await load(['first']);
    before.close();
    const { renameSync } = await import('node:fs');
    renameSync(mapPin(pins, 'flows'), mapPin(pins, 'devices'));
    const id = idOf('devices');
    await expect(load(['first'])).rejects.toMatchObject({
      code: 'SCHEMA_MISMATCH',
      message: expect.stringContaining('devices'),
    });
    expect(idOf('devices')).toBe(id);
  });

  it('stops between objects when the signal aborts', async () => {
    const abort = new AbortController();
    const loading = load(['first', 'second'], { signal: abort.signal });
    abort.abort();
    await expect(loading).rejects.toMatchObject({ name: 'AbortError' });
    expect(pinned()).toEqual([]);
  });
});
