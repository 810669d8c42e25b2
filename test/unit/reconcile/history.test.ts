import { describe, expect, it } from 'vitest';
import type { PortChange } from '../../../src/model/history.ts';
import { readRecords } from '../../../src/model/history-ring.ts';
import { createCauses } from '../../../src/reconcile/causes.ts';
import { createHistory } from '../../../src/reconcile/history.ts';

const slice = (version: string, trigger?: string) => ({
  metadata: {
    resourceVersion: version,
    ...(trigger && { annotations: { 'endpoints.kubernetes.io/last-change-trigger-time': trigger } }),
  },
});
const change: PortChange = {
  namespace: 'shop',
  service: 'web',
  port: '',
  protocol: 'TCP',
  family: 'IPv4',
  frontends: [],
  backends: [{ address: '10.1.0.1', port: 80, was: 1, is: 0 }],
  was: { inside: 1, outside: 1 },
  is: { inside: 0, outside: 0 },
};

describe('where a change came from', () => {
  it('the objects that were heard, each once with its last version', () => {
    let now = 1000;
    const causes = createCauses(() => now);
    causes.heard('EndpointSlice', 'shop/web-1', slice('7'), ['shop/web']);
    now = 1005;
    causes.heard('EndpointSlice', 'shop/web-1', slice('8'), ['shop/web']);
    causes.heard('Service', 'shop/web', undefined, ['shop/web']);
    expect(causes.of('shop/web')).toEqual({
      by: [
        { kind: 'EndpointSlice', name: 'shop/web-1', version: '8' },
        { kind: 'Service', name: 'shop/web', gone: true },
      ],
      heard: 1000,
    });
    expect(causes.of('shop/other')).toEqual({ by: [] });
  });

  it('a trigger once, and only one of since the start (R-83)', () => {
    const causes = createCauses(() => Date.parse('2026-01-01T00:00:10Z'));
    const heard = (trigger: string) => causes.heard('EndpointSlice', 'shop/web-1', slice('1', trigger), ['shop/web']);
    heard('2026-01-01T00:00:05Z');
    expect(causes.of('shop/web').triggered).toBeUndefined();
    heard('2026-01-01T00:00:12Z');
    expect(causes.of('shop/web').triggered).toBe(Date.parse('2026-01-01T00:00:12Z'));
    causes.clear(new Set());
    heard('2026-01-01T00:00:12Z');
    expect(causes.of('shop/web')).toMatchObject({ by: [{ version: '1' }] });
    expect(causes.of('shop/web').triggered).toBeUndefined();
  });

  it('is kept for Services that are tried again', () => {
    const causes = createCauses(() => 0);
    for (const name of ['shop/web', 'shop/db']) causes.heard('Service', name, slice('1'), [name]);
    causes.clear(new Set(['shop/db']));
    expect(causes.of('shop/web').by).toEqual([]);
    expect(causes.of('shop/db').by).toHaveLength(1);
  });

  it('hostile objects are cut and cleaned, and do not pile up', () => {
    const causes = createCauses(() => 0);
    for (let i = 0; i < 1000; i++) {
      const object = { metadata: { resourceVersion: `\x1b[2J\u202e${'9'.repeat(10_000)}`, annotations: null } };
      causes.heard('EndpointSlice', `shop/web-${i}`, object as never, ['shop/web']);
    }
    causes.heard('EndpointSlice', 'shop/odd', { metadata: { resourceVersion: {} } } as never, ['shop/web']);
    const origin = causes.of('shop/web');
    expect(origin.by).toHaveLength(8);
    expect(origin.moreBy).toBe(993);
    expect(origin.by[0]?.version).toMatch(/^\?\[2J\?9{1,60}$/);
  });
});

describe('the history', () => {
  it('a record for each change, behind one another', () => {
    const view = Buffer.alloc(8192);
    const history = createHistory({ view: () => view, clock: () => 5, warn: () => {} });
    history.agent('start', { version: '1', node: 'n', services: 3 });
    history.changed([change], () => ({ by: [], heard: 4 }));
    expect(readRecords(view).map(({ record }) => record)).toEqual([
      { kind: 'start', at: 5, version: '1', node: 'n', services: 3 },
      { kind: 'change', at: 5, ...change, by: [], heard: 4 },
    ]);
  });

  it('a change of very many backends says how many it leaves out; very many changes say so too', () => {
    const view = Buffer.alloc(1 << 20);
    const history = createHistory({ view: () => view, clock: () => 5, warn: () => {} });
    const backends = Array.from({ length: 5000 }, (_, i) => ({ address: '10.1.0.1', port: i + 1, was: 0, is: 1 }));
    history.changed([{ ...change, backends }], () => ({ by: [] }));
    expect(readRecords(view).at(-1)?.record).toMatchObject({ backends: { length: 64 }, moreBackends: 4936 });
    history.changed(Array(1500).fill(change), () => ({ by: [] }));
    expect(readRecords(view).at(-1)?.record).toEqual({ kind: 'overflow', at: 5, changes: 500 });
  });

  it('a write that fails throws nothing and is told once', () => {
    const told: string[] = [];
    let broken = true;
    const view = () => {
      if (broken) throw new Error('no such map');
      return Buffer.alloc(1024);
    };
    const history = createHistory({ view, clock: () => 5, warn: (message) => told.push(message) });
    for (let i = 0; i < 3; i++) history.changed([change], () => ({ by: [] }));
    expect(told).toEqual(['write the history of changes: no such map']);
    broken = false;
    history.changed([change], () => ({ by: [] }));
    broken = true;
    history.changed([change], () => ({ by: [] }));
    expect(told).toHaveLength(2);
  });
});
