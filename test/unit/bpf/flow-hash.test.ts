/** The hash of the table of established flows spreads keys, and depends on all of them and on the secret. */
import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { encode } from '../../../maps-schema/codec.ts';
import { flowKey } from '../../../maps-schema/gen/codecs.ts';
import { flowBuckets } from '../../../src/bpf/flow-hash.ts';

const BUCKETS = 1000;
const key = (n: number) =>
  encode(flowKey, {
    saddr: '10.0.0.1',
    daddr: '10.96.0.1',
    sport: n & 0xffff,
    dport: 80 + (n >> 16),
    proto: 6,
    hook: 0,
  });

it('is the same for the same key and secret, and another for another', () => {
  const [a, b] = [Buffer.alloc(flowKey.size, 7), Buffer.alloc(flowKey.size, 8)];
  expect(flowBuckets(key(1), a, BUCKETS)).toEqual(flowBuckets(key(1), a, BUCKETS));
  expect(flowBuckets(key(1), a, BUCKETS)).not.toEqual(flowBuckets(key(1), b, BUCKETS));
  for (let byte = 0; byte < flowKey.size; byte++) {
    const other = key(1);
    other[byte] = (other[byte] ?? 0) ^ 1;
    expect([byte, flowBuckets(other, a, BUCKETS)]).not.toEqual([byte, flowBuckets(key(1), a, BUCKETS)]);
  }
});

it('spreads keys that differ little over all buckets, both ways, and over the tags, which are never 0', () => {
  const secret = randomBytes(flowKey.size);
  const [firsts, seconds, tags] = [new Map<number, number>(), new Map<number, number>(), new Map<number, number>()];
  const count = (into: Map<number, number>, what: number) => into.set(what, (into.get(what) ?? 0) + 1);
  const KEYS = 100_000;
  for (let n = 0; n < KEYS; n++) {
    const { first, second, tag } = flowBuckets(key(n), secret, BUCKETS);
    count(firsts, first);
    count(seconds, second);
    count(tags, tag);
  }
  for (const [map, size] of [
    [firsts, BUCKETS],
    [seconds, BUCKETS],
  ] as const) {
    expect(map.size).toBe(size);
    // A hundred a bucket, with a standard deviation of ten: seven of them are beyond chance.
    expect(Math.max(...map.values())).toBeLessThan(170);
    expect(Math.min(...map.values())).toBeGreaterThan(40);
  }
  // Of 65,535 tags, 100,000 keys leave out exp(-100,000 / 65,535) = 22 %.
  expect(tags.has(0)).toBe(false);
  expect(tags.size).toBeGreaterThan(65_535 * 0.76);
  expect(tags.size).toBeLessThan(65_535 * 0.8);
});
