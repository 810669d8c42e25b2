import { describe, expect, it } from 'vitest';
import { maps as shapes } from '../../../maps-schema/gen/codecs.ts';
import { KnownAddresses, knownSlotOf } from '../../../src/tables/known-addresses.ts';
import { createMemoryArray } from '../../support/memory-map.ts';

const key = (...bytes: number[]) => Buffer.from(bytes).toString('latin1');
const mapped = (...v4: number[]) => key(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...v4);

describe('known_addresses', () => {
  it('an address has the slot that bpf/lib/known.h computes', () => {
    // 10.96.0.10 as a mapped address: words 0, 0, 0xffff0000, 0x0a00600a, as they lie in memory.
    const words = 0xffff0000 ^ 0x0a00600a;
    expect(knownSlotOf(mapped(10, 96, 0, 10))).toBe(Number(((BigInt(words >>> 0) * 0x9e3779b1n) & 0xffffffffn) >> 16n));
  });

  it('neighbouring addresses have slots of their own', () => {
    const slots = new Set(Array.from({ length: 4096 }, (_, i) => knownSlotOf(mapped(10, 96, i >> 8, i & 255))));
    expect(slots.size).toBeGreaterThan(3900);
  });

  it('sets again what somebody zeroed: what it set, and what it has seen the data path set', () => {
    const map = createMemoryArray(shapes.knownAddresses);
    map.view[70_001] = 1; // of a former run
    const known = new KnownAddresses(map);
    known.add(mapped(10, 96, 0, 10));
    map.view[70_002] = 1;
    expect(known.restore()).toBe(0);
    map.view[70_003] = 1; // not seen before it is gone
    map.view.fill(0);
    expect(known.restore()).toBe(3);
    expect([map.view[knownSlotOf(mapped(10, 96, 0, 10))], map.view[70_001], map.view[70_002]]).toEqual([1, 1, 1]);
    expect(map.view.reduce((sum, byte) => sum + byte, 0)).toBe(3);
    expect(known.restore()).toBe(0);
  });

  it('sets one byte an address, and no other', () => {
    const map = createMemoryArray(shapes.knownAddresses);
    new KnownAddresses(map).add(mapped(10, 96, 0, 10));
    expect(map.view[knownSlotOf(mapped(10, 96, 0, 10))]).toBe(1);
    expect(map.view.reduce((sum, byte) => sum + byte, 0)).toBe(1);
  });
});
