/** Lists that take much away are believed when a second one says the same; what is no list never is. */
import { describe, expect, it } from 'vitest';
import { node, service, slice, startServer, startSource, startSynced } from './fixture.ts';
import { until } from './recorder.ts';

const STATUS = '{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success"}';
const EMPTY = '{"kind":"ServiceList","apiVersion":"v1","metadata":{"resourceVersion":"9999"},"items":[]}';

async function serverWith(services: number) {
  const server = await startServer();
  for (let i = 0; i < services; i++) server.store.apply(service(`s${i}`));
  server.store.apply(slice('s0', ['10.0.0.1']));
  server.store.apply(node('node-1'));
  return server;
}

/** The next list of Services is answered so. */
function answerList(server: Awaited<ReturnType<typeof startServer>>, body: string, times = 1): void {
  server.faults.failRequests(times, { status: 200, verb: 'list', resource: 'services', body });
  server.faults.expireWatches('services');
}

describe('a 200 that is no list', () => {
  it.each([
    ['{}', '{}'],
    ['items: null', '{"kind":"ServiceList","metadata":{"resourceVersion":"5"},"items":null}'],
    ['a Status', STATUS],
    ['a list without a version', '{"kind":"ServiceList","metadata":{},"items":[]}'],
  ])('%s takes nothing away, however often it comes', async (_, body) => {
    const server = await serverWith(3);
    const { recorder } = await startSynced(server);
    answerList(server, body, 5);
    server.store.apply(service('after'));
    await until(() => recorder.state.services.has('default/after'));
    expect(recorder.log.filter((line) => line.startsWith('delete'))).toEqual([]);
    expect(recorder.problems[0]?.message).toMatch(/what came is no list|no resourceVersion/);
  });

  it('does not end the first wait for Services', async () => {
    const server = await serverWith(1);
    server.faults.failRequests(3, { status: 200, verb: 'list', resource: 'services', body: '{}' });
    const { recorder } = await startSource(server);
    await until(() => recorder.syncs === 1);
    expect(recorder.state.services.size).toBe(1);
  });
});

describe('a list that takes much away', () => {
  it('is not believed when the next one does not say so: an empty one', async () => {
    const server = await serverWith(1);
    const { recorder } = await startSynced(server);
    answerList(server, EMPTY);
    server.store.apply(service('after'));
    await until(() => recorder.state.services.has('default/after'));
    expect(recorder.log.filter((line) => line.startsWith('delete'))).toEqual([]);
    expect(recorder.problems.map(({ message }) => message)).toEqual([
      'the list is empty, and there were 1: listing once more before that is believed',
      'the list before was wrong: the list is empty, and there were 1',
    ]);
  });

  it('is not believed when the next one does not say so: one with less than half', async () => {
    const server = await serverWith(100);
    const { recorder } = await startSynced(server, { reflector: { pageSize: 500 } });
    const items = server.store.list('Service').slice(0, 49);
    answerList(server, JSON.stringify({ ...JSON.parse(EMPTY), items }));
    server.store.apply(service('after'));
    await until(() => recorder.state.services.has('default/after'));
    expect(recorder.log.filter((line) => line.startsWith('delete'))).toEqual([]);
    expect(recorder.problems[0]?.message).toMatch(/has 49 of 100 objects/);
  });

  it('is believed when the next one says the same', async () => {
    const server = await serverWith(100);
    const { recorder } = await startSynced(server);
    const lists = server.requests.count('list', 'services');
    server.faults.stallWatches('services');
    for (let i = 0; i < 80; i++) server.store.delete('Service', 'default', `s${i}`);
    server.faults.compact();
    server.faults.resetWatches('services');
    await until(() => recorder.state.services.size === 20);
    expect(server.requests.count('list', 'services')).toBeGreaterThanOrEqual(lists + 2);
    expect(recorder.problems.map(({ message }) => message)).toEqual([
      'the list has 20 of 100 objects that there were: listing once more before that is believed',
      'the list has 20 of 100 objects that there were: confirmed',
    ]);
  });

  it('is asked for once more at the start, when this node served Services before', async () => {
    const server = await serverWith(1);
    server.faults.failRequests(1, { status: 200, verb: 'list', resource: 'services', body: EMPTY });
    const { recorder } = await startSource(server, { more: { served: () => true } });
    await until(() => recorder.syncs === 1);
    expect(recorder.state.services.size).toBe(1);
  });

  it('of Nodes is, when it takes this one away', async () => {
    const server = await serverWith(1);
    const { recorder } = await startSynced(server);
    await until(() => recorder.state.node !== undefined);
    const body = EMPTY.replace('ServiceList', 'NodeList');
    server.faults.failRequests(1, { status: 200, verb: 'list', resource: 'nodes', body });
    server.faults.expireWatches('nodes');
    server.store.apply(node('node-1', { zone: 'b' }));
    await until(() => recorder.state.node?.metadata?.labels?.zone === 'b');
    expect(recorder.log).not.toContain('no node');
  });
});
