/** No rule is without a test unless the list of gaps says why; docs/conformance.md is up to date. */
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { GAPS, RULES } from './rules.ts';
import { conformance, provenRules } from './scan.ts';

const numbers = RULES.map((_, i) => i + 1);

it('names every rule once', () => {
  expect(new Set(RULES).size).toBe(112);
});

it('has a test or a reason for every rule', () => {
  const proven = provenRules();
  expect(numbers.filter((n) => !proven.has(n) && GAPS[n] === undefined)).toEqual([]);
});

it('keeps no gap that a test has closed', () => {
  const proven = provenRules();
  expect(numbers.filter((n) => proven.has(n) && GAPS[n] !== undefined)).toEqual([]);
});

it('is what docs/conformance.md says', () => {
  const file = new URL('../../docs/conformance.md', import.meta.url);
  if (process.env.UPDATE === '1') writeFileSync(file, conformance());
  expect(readFileSync(file, 'utf8')).toBe(conformance());
});
