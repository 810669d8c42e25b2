import { describe, expect, test } from 'vitest';
import { cidrContains, formatCidr, parseCidr } from '../../../src/model/cidr.ts';

describe('parseCidr', () => {
  test.each([
    ['10.1.2.3/8', '10.0.0.0/8'],
    ['10.1.2.255/25', '10.1.2.128/25'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['192.0.2.1/32', '192.0.2.1/32'],
    ['2001:DB8:0:0::ff/61', '2001:db8::/61'],
    ['::/0', '::/0'],
    ['fd00::1/128', 'fd00::1/128'],
    ['010.001.002.003/08', '10.0.0.0/8'],
    ['10.0.0.1/00032', '10.0.0.1/32'],
    ['0fd00::1/0064', 'fd00::/64'],
    ['::ffff:10.1.2.3/104', '10.0.0.0/8'],
    ['::ffff:010.1.2.3/128', '10.1.2.3/32'],
    ['::ffff:10.1.2.3/96', '0.0.0.0/0'],
    ['::ffff:10.1.2.3/80', '::/80'],
  ])('%s is %s', (text, canonical) => {
    const cidr = parseCidr(text);
    expect(cidr && formatCidr(cidr)).toBe(canonical);
  });

  test.each([
    '',
    '10.0.0.0',
    '10.0.0.0/33',
    '::ffff:10.0.0.0/129',
    '10.0.0.0/08a',
    ' 10.0.0.0/8',
    '10.0.0.0/+8',
    'fd00::/129',
    '10.0.0/8',
    '10.0.0.0/',
    '10.0.0.0/-1',
    '10.0.0.0/8/8',
    'fe80::%1/64',
  ])('%j is no network', (text) => {
    expect(parseCidr(text)).toBeUndefined();
  });
});

test.each([
  ['10.0.0.0/8', '10.255.255.255', true],
  ['10.0.0.0/8', '11.0.0.0', false],
  ['0.0.0.0/0', '192.0.2.1', true],
  ['0.0.0.0/0', '2001:db8::1', false],
  ['::/0', '192.0.2.1', false],
  ['2001:db8::/61', '2001:db8:0:7::1', true],
  ['2001:db8::/61', '2001:db8:0:8::1', false],
])('%s contains %s: %s', (network, address, contained) => {
  const cidr = parseCidr(network);
  expect(cidr && cidrContains(cidr, address)).toBe(contained);
});
