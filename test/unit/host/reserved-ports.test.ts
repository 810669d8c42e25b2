import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readReservedPorts } from '../../../src/host/reserved-ports.ts';

let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'sluice-ports-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const reading = (text: string | Buffer) => {
  const file = join(directory, 'ports');
  writeFileSync(file, text);
  return readReservedPorts(file);
};

test('reads what the kernel prints', () => {
  expect(reading('8080,9000-9100\n')).toEqual([
    { first: 8080, last: 8080 },
    { first: 9000, last: 9100 },
  ]);
  expect(reading('\n')).toEqual([]);
});

test('reads the longest list there is', () => {
  const ports = Array.from({ length: 32_768 }, (_, i) => 2 * i + 1);
  expect(reading(`${ports.join()}\n`)).toHaveLength(ports.length);
});

test('reads what it can of anything else', () => {
  expect(reading('nonsense')).toEqual([]);
  expect(reading(Buffer.from([0, 255, 44, 56, 48, 44, 200]))).toEqual([{ first: 80, last: 80 }]);
  expect(readReservedPorts(join(directory, 'missing'))).toEqual([]);
  expect(readReservedPorts(directory)).toEqual([]);
});
