import { describe, expect, it } from 'vitest';
import { GraceQueue } from '../../../src/tables/grace.ts';
import { ServicePortIds } from '../../../src/tables/ids.ts';

describe('a grace queue', () => {
  it('gives things back in order, each when its time is over', () => {
    let now = 0;
    const queue = new GraceQueue<string>(() => now, 10);
    queue.push('a');
    now = 5;
    queue.push('b');
    expect(queue.take()).toBeUndefined();
    now = 10;
    expect([queue.take(), queue.take(), queue.next]).toEqual(['a', undefined, 15]);
    now = 15;
    expect([queue.take(), queue.take(), queue.next]).toEqual(['b', undefined, undefined]);
  });

  it('loses nothing when many wait', () => {
    let now = 0;
    const queue = new GraceQueue<number>(() => now, 1);
    for (let i = 0; i < 5000; i++) queue.push(i);
    now = 1;
    for (let i = 0; i < 4000; i++) expect(queue.take()).toBe(i);
    for (let i = 5000; i < 6000; i++) queue.push(i);
    now = 2;
    const rest: number[] = [];
    for (let item = queue.take(); item !== undefined; item = queue.take()) rest.push(item);
    expect(rest).toEqual(Array.from({ length: 2000 }, (_, i) => 4000 + i));
    expect(queue.size).toBe(0);
  });
});

describe('ids of ServicePorts', () => {
  it('begin at 1, end at the largest, and are free again after the grace period', () => {
    let now = 0;
    const ids = new ServicePortIds(() => now, 10, 2);
    expect([ids.acquire('a'), ids.acquire('b'), ids.acquire('c')]).toEqual([1, 2, undefined]);
    ids.release('a', 1);
    expect(ids.acquire('c')).toBeUndefined();
    expect(ids.expire()).toEqual([]);
    now = 10;
    expect(ids.expire()).toEqual([1]);
    expect(ids.acquire('c')).toBe(1);
  });

  it('R-88 leave out those that the kernel has', () => {
    const ids = new ServicePortIds(() => 0, 10, 5);
    ids.adopt(new Set([2, 4]));
    expect([1, 2, 3, 4].map((n) => ids.acquire(`${n}`))).toEqual([1, 3, 5, undefined]);
  });
});
