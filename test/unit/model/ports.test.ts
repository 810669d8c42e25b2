import { describe, expect, test } from 'vitest';
import { formatPortRanges, parsePortRanges, rangesOfBits, sourceNatPorts } from '../../../src/model/ports.ts';

describe('parsePortRanges', () => {
  test.each([
    ['', ''],
    ['\n', ''],
    ['8080\n', '8080'],
    ['8080,9000-9100\n', '8080,9000-9100'],
    ['0-65535', '0-65535'],
    ['1024-1024', '1024'],
    ['22, 80 ,\t443', '22,80,443'],
  ])('%j is %j', (text, ranges) => {
    expect(formatPortRanges(parsePortRanges(text))).toBe(ranges);
  });

  test.each([
    'x',
    '-',
    '-5',
    '5-',
    '9-8',
    '65536',
    '1-65536',
    '1-2-3',
    '1e3',
    '0x50',
    '8080 9090',
    '٣',
  ])('leaves out %j alone', (part) => {
    expect(formatPortRanges(parsePortRanges(`80,${part},443`))).toBe('80,443');
  });
});

test('bits are read as runs of ports', () => {
  const words = new Uint32Array(2048);
  expect(rangesOfBits(words)).toEqual([]);
  words[0] = 0x8000_0001;
  words[1] = 0x0000_0003;
  words[2047] = 0xc000_0000;
  expect(formatPortRanges(rangesOfBits(words))).toBe('0,31-33,65534-65535');
  expect(formatPortRanges(rangesOfBits(Uint32Array.of(6), 64))).toBe('65-66');
});

test.each([
  ['', 61_744],
  ['1-1023', 61_744],
  ['1000-1033', 61_734],
  ['29999-32768', 61_742],
  ['31000', 61_744],
  ['1024-29999,40000', 32_767],
])('without %j source NAT has %d ports', (reserved, ports) => {
  expect(sourceNatPorts(parsePortRanges(reserved))).toBe(ports);
});
