import { describe, expect, it } from 'vitest';
import { SERVICES, service, startClient } from './client.ts';

const names = (list: { items: { metadata: { name: string } }[] }) => list.items.map((item) => item.metadata.name);

async function startWithServices(count: number) {
  const started = await startClient();
  for (let i = 0; i < count; i++) {
    const labels = { parity: i % 2 === 0 ? 'even' : 'odd', ...(i === 0 ? { first: '' } : {}) };
    started.server.store.apply({ apiVersion: 'v1', kind: 'Service', ...service(`s${i}`, {}, labels) });
  }
  return started;
}

describe('API server: lists', () => {
  it('pages through one snapshot', async () => {
    const { call, server } = await startWithServices(5);
    const first = (await call('GET', `${SERVICES}?limit=2`)).body;
    expect(first.metadata.remainingItemCount).toBe(3);
    server.store.delete('Service', 'default', 's3');
    const path = (list: { metadata: { continue: string } }) => `${SERVICES}?limit=2&continue=${list.metadata.continue}`;
    const second = (await call('GET', path(first))).body;
    const third = (await call('GET', path(second))).body;
    expect([first, second, third].flatMap(names)).toEqual(['s0', 's1', 's2', 's3', 's4']);
    expect(new Set([first, second, third].map((list) => list.metadata.resourceVersion)).size).toBe(1);
    server.faults.compact();
    expect((await call('GET', path(first))).body).toMatchObject({ code: 410, reason: 'Expired' });
  });

  it('answers at the version that is asked for', async () => {
    const { call, server } = await startWithServices(2);
    const version = server.store.version;
    server.store.delete('Service', 'default', 's0');
    server.store.apply({ apiVersion: 'v1', kind: 'Service', ...service('s2') });
    const at = async (query: string) => (await call('GET', `/api/v1/services?${query}`)).body;
    expect(names(await at(`resourceVersion=${version}&resourceVersionMatch=Exact`))).toEqual(['s0', 's1']);
    expect(names(await at(`resourceVersion=${version}&resourceVersionMatch=NotOlderThan`))).toEqual(['s1', 's2']);
    expect(names(await at('resourceVersion=0'))).toEqual(['s1', 's2']);
    expect(await at('resourceVersion=99999')).toMatchObject({
      code: 504,
      details: { causes: [{ reason: 'ResourceVersionTooLarge' }] },
    });
    expect(await at('resourceVersion=x')).toMatchObject({ code: 400 });
    server.faults.compact();
    expect(await at(`resourceVersion=${version}&resourceVersionMatch=Exact`)).toMatchObject({ code: 410 });
  });

  it('selects by labels and fields', async () => {
    const { call } = await startWithServices(4);
    const select = async (query: Record<string, string>) =>
      names((await call('GET', `/api/v1/services?${new URLSearchParams(query)}`)).body);
    expect(await select({ labelSelector: 'parity=odd' })).toEqual(['s1', 's3']);
    expect(await select({ labelSelector: 'parity!=odd' })).toEqual(['s0', 's2']);
    expect(await select({ labelSelector: '!first,parity=even' })).toEqual(['s2']);
    expect(await select({ labelSelector: 'first' })).toEqual(['s0']);
    expect(await select({ labelSelector: 'parity in (odd, none)' })).toEqual(['s1', 's3']);
    expect(await select({ labelSelector: 'parity notin (odd),first' })).toEqual(['s0']);
    expect(await select({ fieldSelector: 'metadata.name=s2,metadata.namespace=default' })).toEqual(['s2']);
    expect((await call('GET', '/api/v1/services?labelSelector=a%20b')).status).toBe(400);
  });

  it('answers with tables', async () => {
    const { call } = await startWithServices(1);
    const { body } = await call('GET', SERVICES, {
      accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json',
    });
    expect(body.columnDefinitions.map((column: { name: string }) => column.name)).toEqual([
      'Name',
      'Type',
      'Cluster-IP',
      'External-IP',
      'Port(s)',
      'Age',
      'Selector',
    ]);
    expect(body.rows[0].cells.slice(0, 5)).toEqual(['s0', 'ClusterIP', '10.96.1.1', '<none>', '80/TCP']);
  });
});

describe('API server: watches', () => {
  const watch = (query: string) => `${SERVICES}?watch=true&timeoutSeconds=1&${query}`;
  const shape = (events: { type: string; object: { metadata: { name: string } } }[]) =>
    events.map(({ type, object }) => `${type} ${object.metadata.name}`);

  it('starts with what is there when no version is given, and ends at its time-out with a bookmark', async () => {
    const { call } = await startWithServices(2);
    const { body } = await call('GET', watch('allowWatchBookmarks=true'));
    expect(shape(body)).toEqual(['ADDED s0', 'ADDED s1', 'BOOKMARK undefined']);
  });

  it('starts after a version, and turns changes of the selection into additions and deletions', async () => {
    const { call, server } = await startWithServices(2);
    const version = server.store.version;
    server.store.apply({ apiVersion: 'v1', kind: 'Service', ...service('s0', {}, { hidden: '' }) });
    server.store.apply({ apiVersion: 'v1', kind: 'Service', ...service('s1', {}, { a: 'b' }) });
    server.store.apply({ apiVersion: 'v1', kind: 'Service', ...service('s0') });
    server.store.delete('Service', 'default', 's1');
    const { body } = await call('GET', watch(`resourceVersion=${version}&labelSelector=!hidden`));
    expect(shape(body)).toEqual(['DELETED s0', 'MODIFIED s1', 'ADDED s0', 'DELETED s1']);
    const versions = body.map((event: { object: { metadata: { resourceVersion: string } } }) =>
      Number(event.object.metadata.resourceVersion),
    );
    expect(versions).toEqual([1, 2, 3, 4].map((i) => version + i));
  });

  it('refuses versions that are forgotten with a 410 event, and initial events with 422', async () => {
    const { call, server } = await startWithServices(1);
    const version = server.store.version;
    server.faults.compact();
    const { status, body } = await call('GET', watch(`resourceVersion=${version}`));
    expect({ status, body }).toMatchObject({
      status: 200,
      body: [{ type: 'ERROR', object: { kind: 'Status', code: 410 } }],
    });
    expect((await call('GET', watch('sendInitialEvents=true'))).status).toBe(422);
  });
});
