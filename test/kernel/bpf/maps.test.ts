import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encode } from '../../../maps-schema/codec.ts';
import * as schema from '../../../maps-schema/gen/codecs.ts';
import { entriesOneByOne } from '../../../src/bpf/batch.ts';
import { openHash } from '../../../src/bpf/hash.ts';
import type { KernelHash } from '../../../src/bpf/kernel-map.ts';
import { type LoadedPrograms, loadPrograms } from '../../../src/bpf/loader.ts';
import { objGet } from '../../../src/bpf/object.ts';
import { type Maps, openMaps } from '../../../src/bpf/open-maps.ts';
import { ensurePinDirectory, mapPin } from '../../../src/bpf/paths.ts';
import { close } from '../../../src/bpf/syscall.ts';
import { testRun } from '../../../src/bpf/test-run.ts';
import { zeroKnobs } from './knobs.ts';
import { compileObjects, mountBpffs, SCHEMA, SMALL_MAPS } from './rig.ts';

const PROGRAM = `${SCHEMA}
SEC("tc") int read_slot(struct __sk_buff *skb)
{
	__u32 index = 7;
	struct backend_slot *slot = bpf_map_lookup_elem(&backend_slots, &index);
	struct counter *c;
	__u32 reason = 3;

	c = bpf_map_lookup_elem(&counters, &reason);
	if (c)
		c->packets += 1;
	return slot ? slot->backend_id : -1;
}
SEC("tc") int match_range(struct __sk_buff *skb)
{
	struct cidr_key key = { .prefixlen = 128 };
	struct mark *m;

	key.address.b[10] = 0xff;
	key.address.b[11] = 0xff;
	key.address.b[12] = 10;
	key.address.b[13] = 1;
	m = bpf_map_lookup_elem(&pod_cidrs, &key);
	return m ? m->flags : 0;
}
`;
const FRAME = Buffer.alloc(64);
/** More than one batch reads at once. */
const FRONTENDS = 16384;

let bpffs: ReturnType<typeof mountBpffs>;
let objects: ReturnType<typeof compileObjects>;
let pins: string;
let loaded: LoadedPrograms;
let maps: Maps;

beforeAll(async () => {
  bpffs = mountBpffs();
  objects = compileObjects({ probe: PROGRAM });
  pins = ensurePinDirectory(bpffs.root);
  loaded = await loadPrograms({
    objectDirectory: objects.directory,
    pinDirectory: pins,
    knobs: zeroKnobs,
    mapSizes: { ...SMALL_MAPS, frontends: FRONTENDS },
    objects: ['probe.bpf.o'],
  });
  maps = openMaps(pins);
});

afterAll(() => {
  maps?.close();
  loaded?.close();
  objects?.remove();
  bpffs?.remove();
});

const key = (i: number) =>
  encode(schema.frontendKey, { address: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, port: 80, proto: 6 });
const value = (i: number) => {
  const empty = { flags: 0, internalBase: 0, internalCount: 0, externalBase: 0, externalCount: 0, affinitySeconds: 0 };
  return encode(schema.frontend, { ...empty, servicePortId: i });
};
const ids = (map: Pick<KernelHash, 'entries'>) => {
  const found: number[] = [];
  for (const row of map.entries()) {
    found.push(schema.frontend.read(row.value, 0).servicePortId);
    if (found.length > FRONTENDS) throw new Error('entries() repeats itself');
  }
  return found.sort((a, b) => a - b);
};
const clear = (map: KernelHash) => {
  for (const row of [...map.entries()]) map.delete(row.key);
};

describe('a hash', () => {
  it('writes, reads and deletes a row', () => {
    expect(maps.frontends.lookup(key(1))).toBeUndefined();
    maps.frontends.update(key(1), value(1));
    expect(maps.frontends.lookup(key(1))).toEqual(value(1));
    expect(maps.frontends.delete(key(1))).toBe(true);
    expect(maps.frontends.delete(key(1))).toBe(false);
    expect(maps.frontends.lookup(key(1))).toBeUndefined();
  });

  it('returns copies that later calls do not change', () => {
    maps.frontends.update(key(1), value(1));
    maps.frontends.update(key(2), value(2));
    const first = maps.frontends.lookup(key(1));
    maps.frontends.lookup(key(2));
    expect(first).toEqual(value(1));
    clear(maps.frontends);
  });

  it('writes and deletes in batches, absent keys included', () => {
    const n = 10_000;
    const keys = Buffer.concat(Array.from({ length: n }, (_, i) => key(i)));
    maps.frontends.updateBatch(keys, Buffer.concat(Array.from({ length: n }, (_, i) => value(i))), n);
    expect(ids(maps.frontends)).toEqual(Array.from({ length: n }, (_, i) => i));
    for (const absent of [0, 1, 5000, 9999]) maps.frontends.delete(key(absent));
    maps.frontends.deleteBatch(keys, n);
    expect(ids(maps.frontends)).toEqual([]);
  });

  it('reads the same rows one by one', () => {
    for (let i = 0; i < 10; i++) maps.frontends.update(key(i), value(i));
    const fd = objGet(mapPin(pins, 'frontends'));
    expect(ids({ entries: () => entriesOneByOne(fd, maps.frontends) })).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    close(fd);
    clear(maps.frontends);
  });

  it('says that it is full, in a batch and alone', () => {
    const n = FRONTENDS + 100;
    const keys = Buffer.concat(Array.from({ length: n }, (_, i) => key(i)));
    const values = Buffer.concat(Array.from({ length: n }, (_, i) => value(i)));
    expect(() => maps.frontends.updateBatch(keys, values, n)).toThrow(expect.objectContaining({ code: 'MAP_FULL' }));
    expect(() => {
      for (let i = 0; i < n; i++) maps.frontends.update(key(i), value(i));
    }).toThrow(/update map frontends: all 16384 rows are taken/);
    clear(maps.frontends);
  });

  it('takes its size from the kernel and refuses buffers of another size', () => {
    expect(maps.frontends.shape.maxEntries).toBe(FRONTENDS);
    expect(() => maps.frontends.lookup(Buffer.alloc(19))).toThrow(RangeError);
    expect(() => maps.frontends.updateBatch(key(1), value(1), 2)).toThrow(RangeError);
  });

  it('cannot be used once closed', () => {
    const map = openHash(mapPin(pins, 'frontends'), schema.maps.frontends);
    map.close();
    expect(() => map.lookup(key(1))).toThrow(/EBADF/);
    expect(() => [...map.entries()]).toThrow(/EBADF/);
  });

  it('opened read-only refuses writes', () => {
    const readOnly = openMaps(pins, { readOnly: true });
    expect(() => readOnly.frontends.update(key(1), value(1))).toThrow(expect.objectContaining({ code: 'PERMISSION' }));
    expect(readOnly.frontends.lookup(key(1))).toBeUndefined();
    expect(readOnly.backendSlots.view.length).toBe(4096 * 24);
    readOnly.close();
  });
});

describe('an LPM trie', () => {
  const cidr = (address: string, bits: number) => encode(schema.cidrKey, { prefixlen: 96 + bits, address });
  const mark = (flags: number) => encode(schema.mark, { flags });

  it('is seen by programs, longest prefix first, and lists its rows', () => {
    maps.podCidrs.updateBatch(
      Buffer.concat([cidr('10.0.0.0', 8), cidr('10.1.0.0', 16)]),
      Buffer.concat([mark(8), mark(16)]),
      2,
    );
    expect(testRun(loaded.program('match_range'), { data: FRAME }).retval).toBe(16);
    expect([...maps.podCidrs.entries()].map((row) => schema.cidrKey.read(row.key, 0).prefixlen).sort()).toEqual([
      104, 112,
    ]);
    maps.podCidrs.deleteBatch(Buffer.concat([cidr('10.9.0.0', 16), cidr('10.1.0.0', 16)]), 2);
    expect(testRun(loaded.program('match_range'), { data: FRAME }).retval).toBe(8);
    clear(maps.podCidrs);
  });
});

describe('arrays', () => {
  it('show programs at once what is written to the view', () => {
    const slots = maps.backendSlots;
    schema.backendSlot.write(slots.view, 7 * slots.stride, {
      address: '10.0.0.1',
      port: 80,
      flags: 0,
      backendId: 4711,
    });
    expect(testRun(loaded.program('read_slot'), { data: FRAME }).retval).toBe(4711);
  });

  it('keep the view readable after close', () => {
    const other = openMaps(pins);
    const { view, stride } = other.backendSlots;
    other.close();
    expect(schema.backendSlot.read(view, 7 * stride).backendId).toBe(4711);
  });

  it('per CPU add up to what programs counted', () => {
    const sum = () => maps.counters.lookup(3).reduce((total, cpu) => total + schema.counter.read(cpu, 0).packets, 0n);
    const before = sum();
    testRun(loaded.program('read_slot'), { data: FRAME, repeat: 25 });
    expect(sum() - before).toBe(25n);
  });
});

describe('opening', () => {
  it('says when nothing is pinned', () => {
    expect(() => openMaps(`${bpffs.root}/v0`).frontends).toThrow(expect.objectContaining({ code: 'NOT_RUNNING' }));
  });

  it('refuses a map of another shape', () => {
    const wrong = { ...schema.maps.frontends, valueSize: 32 };
    expect(() => openHash(mapPin(pins, 'frontends'), wrong)).toThrow(
      expect.objectContaining({ code: 'SCHEMA_MISMATCH' }),
    );
    expect(() => openHash(mapPin(pins, 'sock_flows'), schema.maps.frontends)).toThrow(/has type 9, not 1/);
  });
});
