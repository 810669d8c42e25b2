import { expect, test } from 'vitest';
import { formatDuration, parseDuration } from '../../../src/config/duration.ts';

test.each([
  ['0', 0],
  ['0s', 0],
  ['30s', 30_000],
  ['1h0m0s', 3_600_000],
  ['1m30s', 90_000],
  ['250ms', 250],
  ['1.5h', 5_400_000],
  ['.5s', 500],
  ['500us', 0.5],
  ['500µs', 0.5],
  ['-2s', -2000],
  ['+2s', 2000],
])('R-84: %s is %d ms', (text, milliseconds) => {
  expect(parseDuration(text)).toBe(milliseconds);
});

test.each(['', '30', 's', '1 s', '1d', '1h30', '--1s', '1s '])('R-84: %j is no duration', (text) => {
  expect(parseDuration(text)).toBeUndefined();
});

test.each([
  [0, '0s'],
  [250, '250ms'],
  [1500, '1.5s'],
  [90_000, '1m30s'],
  [86_400_000, '24h0m0s'],
])('R-84: %d ms is written %s, as Go does', (milliseconds, text) => {
  expect(formatDuration(milliseconds)).toBe(text);
  expect(parseDuration(text)).toBe(milliseconds);
});
