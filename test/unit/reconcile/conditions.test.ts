import { expect, it } from 'vitest';
import { createConditions } from '../../../src/reconcile/conditions.ts';

function setUp() {
  const now: { log?: string; api?: string; broken?: boolean } = {};
  const told: string[] = [];
  let changes = 0;
  const conditions = createConditions({
    checks: [
      { what: 'log', look: () => now.log, silent: true },
      {
        what: 'API server',
        look: () => {
          if (now.broken) throw new Error('cannot look');
          return now.api;
        },
      },
    ],
    warn: (message) => told.push(`! ${message}`),
    inform: (message) => told.push(message),
    changed: () => changes++,
    clock: () => 0,
  });
  return { now, told, conditions, changes: () => changes };
}

const since = '1970-01-01T00:00:00.000Z';

it('tells what is amiss once when it begins and once when it ends, and lists it meanwhile', () => {
  const { now, told, conditions, changes } = setUp();
  conditions.look();
  expect([conditions.list(), changes()]).toEqual([[], 0]);
  now.api = 'silent for 30 s';
  conditions.look();
  now.api = 'silent for 40 s';
  conditions.look();
  expect(conditions.list()).toEqual([{ what: 'API server', message: 'silent for 40 s', since }]);
  conditions.look();
  expect(changes()).toBe(2);
  now.api = undefined;
  conditions.look();
  expect([conditions.list(), changes()]).toEqual([[], 3]);
  expect(told).toEqual(['! API server: silent for 30 s', 'API server: well again']);
});

it('lists what is told elsewhere, without a word of its own', () => {
  const { now, told, conditions } = setUp();
  now.log = 'no space is left';
  conditions.look();
  expect(conditions.list()).toEqual([{ what: 'log', message: 'no space is left', since }]);
  expect(told).toEqual([]);
});

it('takes a look that fails for something amiss', () => {
  const { now, conditions } = setUp();
  now.broken = true;
  conditions.look();
  expect(conditions.list()).toMatchObject([{ message: 'cannot look' }]);
});
