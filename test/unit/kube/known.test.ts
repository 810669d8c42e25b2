import fc from 'fast-check';
import { expect, it } from 'vitest';
import { createKnown } from '../../../src/kube/known.ts';
import type { Service } from '../../../src/model/kubernetes.ts';

const service = (name: string, resourceVersion: string, uid = 'u'): Service => ({
  metadata: { namespace: 'n', name, resourceVersion, uid },
});

it('delivers a relist as the least events, deletions included (R-87)', () => {
  const known = createKnown<Service>();
  known.replace([service('same', '1'), service('changed', '1'), service('gone', '1'), service('reborn', '1', 'a')]);
  const events = known.replace([
    service('same', '1'),
    service('changed', '2'),
    service('new', '3'),
    service('reborn', '1', 'b'),
  ]);
  expect(events.map(({ type, key }) => `${type} ${key}`)).toEqual([
    'delete n/gone',
    'set n/changed',
    'set n/new',
    'set n/reborn',
  ]);
});

it('passes over repeated watch events', () => {
  const known = createKnown<Service>();
  expect(known.set(service('a', '1'))).toMatchObject({ type: 'set', key: 'n/a' });
  expect(known.set(service('a', '1'))).toBeUndefined();
  expect(known.set(service('a', '2'))).toBeDefined();
  expect(known.delete(service('a', '3'))).toEqual({ type: 'delete', key: 'n/a' });
  expect(known.delete(service('a', '3'))).toBeUndefined();
});

it('leads to exactly the list, from any list', () => {
  const list = fc.uniqueArray(
    fc.record({ name: fc.constantFrom('a', 'b', 'c', 'd'), version: fc.constantFrom('1', '2') }),
    {
      selector: ({ name }) => name,
    },
  );
  fc.assert(
    fc.property(fc.array(list), (lists) => {
      const known = createKnown<Service>();
      const state = new Map<string, string>();
      for (const objects of lists) {
        for (const { type, key, object } of known.replace(objects.map(({ name, version }) => service(name, version)))) {
          if (type === 'delete') expect(state.delete(key)).toBe(true);
          else {
            expect(state.get(key)).not.toBe(object?.metadata?.resourceVersion);
            state.set(key, object?.metadata?.resourceVersion ?? '');
          }
        }
        expect([...state].sort()).toEqual(objects.map(({ name, version }) => [`n/${name}`, version]).sort());
      }
    }),
  );
});
