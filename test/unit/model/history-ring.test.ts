import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { HistoryRecord } from '../../../src/model/history.ts';
import { appendRecord, readRecords } from '../../../src/model/history-ring.ts';

const record = (at: number, version = 'v'): HistoryRecord => ({ kind: 'start', at, version, node: 'n' });
const times = (view: Buffer, after?: bigint) => readRecords(view, after).map(({ record: { at } }) => at);

describe('the ring of changes', () => {
  it('is empty as the kernel makes it', () => {
    expect(readRecords(Buffer.alloc(1024))).toEqual([]);
  });

  it('keeps the newest records whole, in order, whatever their sizes', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 60 }), (sizes) => {
        const view = Buffer.alloc(1024);
        sizes.forEach((size, at) => {
          expect(appendRecord(view, record(at, 'x'.repeat(size)))).toBe(true);
        });
        const kept = readRecords(view);
        const first = sizes.length - kept.length;
        expect(kept.map(({ record: found }) => found)).toEqual(
          sizes.slice(first).map((size, i) => record(first + i, 'x'.repeat(size))),
        );
        expect(kept.length).toBeGreaterThanOrEqual(Math.min(sizes.length, 2));
      }),
    );
  });

  it('goes on behind a position', () => {
    const view = Buffer.alloc(4096);
    for (const at of [1, 2, 3]) appendRecord(view, record(at));
    const second = readRecords(view)[1];
    expect(times(view, second?.position)).toEqual([3]);
    expect(times(view, readRecords(view).at(-1)?.position)).toEqual([]);
  });

  it('refuses a record that has no room, and keeps the others', () => {
    const view = Buffer.alloc(512);
    appendRecord(view, record(1));
    expect(appendRecord(view, record(2, 'x'.repeat(600)))).toBe(false);
    expect(times(view)).toEqual([1]);
  });

  it('leaves out a record that was spoilt, and begins anew when the positions make no sense', () => {
    const view = Buffer.alloc(1024);
    for (const at of [1, 2, 3]) appendRecord(view, record(at));
    view.writeUInt8(view.readUInt8(30) ^ 1, 30);
    expect(times(view)).toEqual([2, 3]);
    view.writeBigUInt64LE(2n ** 63n, 0);
    expect(times(view)).toEqual([]);
    appendRecord(view, record(4));
    expect(times(view)).toEqual([4]);
  });

  it('never throws and never ends up in a loop, whatever the memory holds', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 64, maxLength: 256 }), fc.boolean(), (bytes, sane) => {
        const view = Buffer.from(bytes);
        if (sane) {
          view.writeBigUInt64LE(5n, 0);
          view.writeBigUInt64LE(5n + BigInt(view.length - 16), 8);
        }
        readRecords(view);
        appendRecord(view, record(1));
        expect(times(view).at(-1) ?? 1).toBe(1);
      }),
    );
  });
});
