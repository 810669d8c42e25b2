/** What the kernel says when memory is short for a moment is never taken for something else. */
import { constants } from 'node:os';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { maps } from '../../../maps-schema/gen/codecs.ts';
import { isTransient } from '../../../src/bpf/errno.ts';
import { openHash } from '../../../src/bpf/hash.ts';
import { Command } from '../../../src/bpf/syscall.ts';

const { ENOMEM, ENOENT } = constants.errno;
const shape = maps.devices;

/** A kernel with one map, whose calls fail on demand. */
const kernel = vi.hoisted(() => ({
  rows: new Map<string, Buffer>(),
  fails: new Map<number, number>(),
  closed: 0,
}));

vi.mock('../../../src/bpf/syscall.ts', async (original) => {
  const real = await original<typeof import('../../../src/bpf/syscall.ts')>();
  const targets = new WeakMap<Buffer, Map<number, Buffer>>();
  const at = (attr: Buffer, offset: number) => targets.get(attr)?.get(offset) as Buffer;
  function answer(command: number, attr: Buffer): number {
    const keys = [...kernel.rows.keys()];
    switch (command) {
      case real.Command.OBJ_GET:
        return 9;
      case real.Command.OBJ_GET_INFO_BY_FD: {
        const info = at(attr, 8);
        info.writeUInt32LE(1, 0);
        info.writeUInt32LE(shape.keySize, 8);
        info.writeUInt32LE(shape.valueSize, 12);
        info.writeUInt32LE(shape.maxEntries, 16);
        return 0;
      }
      case real.Command.MAP_GET_NEXT_KEY: {
        const before = targets.get(attr)?.get(8)?.toString('hex');
        const next = keys[before === undefined ? 0 : keys.indexOf(before) + 1];
        if (next === undefined) return -ENOENT;
        at(attr, 16).set(Buffer.from(next, 'hex'));
        return 0;
      }
      case real.Command.MAP_LOOKUP_ELEM: {
        const value = kernel.rows.get(at(attr, 8).toString('hex'));
        if (value === undefined) return -ENOENT;
        at(attr, 16).set(value);
        return 0;
      }
      case real.Command.MAP_UPDATE_ELEM:
        kernel.rows.set(at(attr, 8).toString('hex'), Buffer.from(at(attr, 16)));
        return 0;
      case real.Command.MAP_DELETE_ELEM:
        return kernel.rows.delete(at(attr, 8).toString('hex')) ? 0 : -ENOENT;
      default:
        return -constants.errno.EINVAL;
    }
  }
  return {
    ...real,
    bpf: (command: number, attr: Buffer) => -(kernel.fails.get(command) ?? 0) || answer(command, attr),
    putPointer(attr: Buffer, offset: number, target: Buffer) {
      const known = targets.get(attr) ?? new Map<number, Buffer>();
      targets.set(attr, known.set(offset, target));
    },
    close: () => void kernel.closed++,
  };
});

const row = (n: number, size: number) => Buffer.alloc(size, n);

beforeEach(() => {
  kernel.rows = new Map([1, 2, 3].map((n) => [row(n, shape.keySize).toString('hex'), row(n, shape.valueSize)]));
  kernel.fails.clear();
  kernel.closed = 0;
});

describe('ENOMEM', () => {
  it.each([ENOMEM, constants.errno.EAGAIN])('of a batch that reads (%i): rows are read one by one', (errno) => {
    const map = openHash('/pin', shape);
    kernel.fails.set(Command.MAP_LOOKUP_BATCH, errno);
    expect([...map.entries()].map(({ key }) => key[0])).toEqual([1, 2, 3]);
  });

  it('of batches that write and delete: rows are written and deleted one by one', () => {
    const map = openHash('/pin', shape);
    kernel.fails.set(Command.MAP_UPDATE_BATCH, ENOMEM);
    kernel.fails.set(Command.MAP_DELETE_BATCH, ENOMEM);
    map.updateBatch(row(7, shape.keySize), row(7, shape.valueSize), 1);
    map.deleteBatch(Buffer.concat([row(1, shape.keySize), row(9, shape.keySize)]), 2);
    expect([...kernel.rows.keys()].map((key) => Number.parseInt(key.slice(0, 2), 16))).toEqual([2, 3, 7]);
  });

  it('of a question what is pinned is no other version', () => {
    kernel.fails.set(Command.OBJ_GET_INFO_BY_FD, ENOMEM);
    let error: unknown;
    try {
      openHash('/pin', shape);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({ code: 'MAP_FAILED', message: expect.stringContaining('ENOMEM') });
    expect(isTransient(error)).toBe(true);
    expect(kernel.closed).toBe(1);
  });
});
