import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ExtentAllocator } from '../../../src/tables/extents.ts';

describe('extents', () => {
  it('begin at slot 1 and end with the map', () => {
    const extents = new ExtentAllocator(10);
    expect(extents.allocate(9)).toBe(1);
    expect(extents.allocate(1)).toBeUndefined();
    extents.release(1, 9);
    expect(extents.allocate(10)).toBeUndefined();
  });

  it('merge with both neighbours', () => {
    const extents = new ExtentAllocator(10);
    const bases = [3, 3, 3].map((length) => extents.allocate(length) ?? 0);
    expect(bases).toEqual([1, 4, 7]);
    for (const at of [0, 2, 1]) extents.release(bases[at] ?? 0, 3);
    expect(extents.allocate(9)).toBe(1);
  });

  it('can be taken where the kernel has them, once', () => {
    const extents = new ExtentAllocator(10);
    expect(extents.reserve(4, 3)).toBe(true);
    expect(extents.reserve(6, 1)).toBe(false);
    expect(extents.reserve(9, 2)).toBe(false);
    expect(extents.reserve(0, 1)).toBe(false);
    expect(extents.allocate(4)).toBeUndefined();
    expect(extents.allocate(3)).toBe(1);
    expect(extents.allocate(3)).toBe(7);
  });

  it('never overlap, and come back whole, whatever the order', () => {
    const actions = fc.array(fc.record({ length: fc.integer({ min: 1, max: 9 }), release: fc.option(fc.nat(20)) }));
    fc.assert(
      fc.property(actions, (steps) => {
        const extents = new ExtentAllocator(64);
        const taken: { base: number; length: number }[] = [];
        for (const { length, release } of steps) {
          if (release !== null && taken.length > 0) {
            const [one] = taken.splice(release % taken.length, 1);
            if (one !== undefined) extents.release(one.base, one.length);
            continue;
          }
          const base = extents.allocate(length);
          if (base === undefined) continue;
          for (const other of taken)
            expect(base + length <= other.base || other.base + other.length <= base).toBe(true);
          taken.push({ base, length });
        }
        expect(extents.free).toBe(63 - taken.reduce((sum, { length }) => sum + length, 0));
        for (const { base, length } of taken) extents.release(base, length);
        expect(extents.allocate(63)).toBe(1);
      }),
    );
  });
});
