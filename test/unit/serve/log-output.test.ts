import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isWritable } from '../../../src/bpf/ffi.ts';
import { createLogOutput } from '../../../src/serve/log-output.ts';

let directory: string;
let open: number[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sluice-log-test-'));
});

afterEach(() => {
  for (const fd of open) closeSync(fd);
  open = [];
  rmSync(directory, { recursive: true });
});

const keep = (fd: number): number => {
  open.push(fd);
  return fd;
};

/** A pipe whose writing end blocks, as that of `sluice agent | reader` does. */
function pipe(): { reader: number; writer: number } {
  const path = join(directory, 'pipe');
  execFileSync('mkfifo', [path]);
  const reader = keep(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
  return { reader, writer: keep(openSync(path, constants.O_WRONLY)) };
}

function readAll(reader: number): string {
  const chunk = Buffer.alloc(65_536);
  let text = '';
  for (;;) {
    try {
      const length = readSync(reader, chunk);
      if (length === 0) return text;
      text += chunk.toString('utf8', 0, length);
    } catch {
      return text; // EAGAIN
    }
  }
}

const numbered = (i: number) => `{"n":${i},"text":"${'x'.repeat(990)}"}\n`;

describe('log output', () => {
  it('never waits for a reader: it keeps some, drops and counts the others, and says so when it is read again', () => {
    const { reader, writer } = pipe();
    const output = createLogOutput({ fd: writer, writable: isWritable, room: 20_000, retryMs: 1 });
    for (let i = 0; i < 200; i++) output.write(numbered(i));
    expect(output.dropped).toBeGreaterThan(80);
    expect(output.trouble).toBe('nobody reads it');
    const dropped = output.dropped;
    let text = '';
    for (let i = 0; i < 5; i++) {
      text += readAll(reader);
      output.close(20);
    }
    output.write('{"n":"after"}\n');
    text += readAll(reader);
    const lines = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const numbers = lines.flatMap(({ n }) => (typeof n === 'number' ? [n] : []));
    expect(numbers).toEqual(Array.from({ length: 200 - dropped }, (_, i) => i));
    expect(lines.filter(({ lost }) => lost !== undefined)).toMatchObject([{ lost: dropped }]);
    expect(lines.at(-1)).toEqual({ n: 'after' });
    expect(output.trouble).toBeUndefined();
  });

  it('drops what a full disk does not take, and goes on when there is room', () => {
    let room = 15;
    let disk = '';
    const write = (_: number, bytes: Buffer): number => {
      if (room === 0) throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
      const part = bytes.subarray(0, room);
      room -= part.length;
      disk += part.toString();
      return part.length;
    };
    const output = createLogOutput({ fd: -1, writable: () => true, write });
    for (const n of [1, 2, 3]) output.write(`{"line":${n}}\n`);
    expect([output.dropped, output.trouble]).toEqual([2, 'no space is left']);
    room = 10_000;
    output.write('{"line":4}\n');
    expect(disk.split('\n').filter((_, i) => i !== 2 && i !== 3)).toEqual(['{"line":1}', '{"li', '']);
    expect(disk.split('\n')[2]).toBe('{"line":4}');
    expect(JSON.parse(disk.split('\n')[3] ?? '')).toMatchObject({ lost: 2 });
    expect(output.trouble).toBeUndefined();
  });

  it('lets /dev/full be', () => {
    const output = createLogOutput({ fd: keep(openSync('/dev/full', 'w')), writable: isWritable });
    output.write('a\n');
    output.write('b\n');
    output.close();
    expect([output.dropped, output.trouble]).toEqual([2, 'no space is left']);
  });

  it('lets a reader be gone', () => {
    const { reader, writer } = pipe();
    closeSync(reader);
    open = open.filter((fd) => fd !== reader);
    const output = createLogOutput({ fd: writer, writable: isWritable });
    output.write('a\n');
    expect([output.dropped, output.trouble]).toEqual([1, 'the reader is gone']);
  });

  it('gives a slow reader whole lines, however long', async () => {
    const { reader, writer } = pipe();
    const output = createLogOutput({ fd: writer, writable: isWritable, room: 1_000_000, retryMs: 1 });
    const long = `${'y'.repeat(200_000)}\n`;
    output.write(long);
    output.write('after\n');
    let text = '';
    while (!text.endsWith('after\n')) {
      text += readAll(reader);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    expect(text === `${long}after\n`).toBe(true);
    expect(output.dropped).toBe(0);
  });
});
