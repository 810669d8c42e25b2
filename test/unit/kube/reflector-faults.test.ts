import { describe, expect, it } from 'vitest';
import { service, startServer, startSource, startSynced } from './fixture.ts';
import { until } from './recorder.ts';

describe('reflector', () => {
  it('watches on after a clean close, without a list and without a storm', async () => {
    const server = await startServer();
    const { recorder } = await startSynced(server, {
      reflector: { steadyMs: 3_600_000, backoff: { initialMs: 20, maxMs: 500 } },
    });
    const lists = server.requests.count('list');
    server.requests.reset();
    // Each new watch is ended at once: the waits between them must grow.
    const end = performance.now() + 400;
    while (performance.now() < end) {
      server.faults.closeWatches();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    expect(server.requests.count('watch')).toBeLessThan(4 * 10);
    expect(server.requests.count('list')).toBe(0);
    expect(lists).toBe(4);
    server.store.apply(service('after'));
    await until(() => recorder.state.services.has('default/after'));
    expect(recorder.problems).toEqual([]);
  });

  it('watches on after a connection reset, missing nothing', async () => {
    const server = await startServer();
    const { recorder } = await startSynced(server);
    const lists = server.requests.count('list');
    server.faults.resetWatches();
    for (let i = 0; i < 5; i++) server.store.apply(service(`s${i}`));
    await until(() => recorder.state.services.size === 5);
    expect(server.requests.count('list')).toBeLessThanOrEqual(lists + 3);
  });

  it('survives 500 on list and on watch', async () => {
    const server = await startServer();
    server.store.apply(service('a'));
    server.faults.failRequests(5, { status: 500, verb: 'list' });
    server.faults.failRequests(5, { status: 500, verb: 'watch' });
    const { recorder } = await startSource(server);
    await until(() => recorder.state.services.has('default/a') && recorder.syncs === 1);
    server.store.apply(service('b'));
    await until(() => recorder.state.services.has('default/b'));
    expect(recorder.problems[0]).toMatchObject({
      message: expect.stringMatching(/HTTP 500: injected fault.*retrying/),
    });
    await until(() => recorder.problems.at(-1)?.message === 'is back');
  });

  it('waits as long as 429 asks', async () => {
    const server = await startServer();
    server.faults.failRequests(1, { status: 429, retryAfterSeconds: 1, resource: 'services', verb: 'list' });
    const started = performance.now();
    const { recorder } = await startSource(server);
    await until(() => recorder.syncs === 1);
    expect(performance.now() - started).toBeGreaterThanOrEqual(1_000);
    expect(server.requests.count('list', 'services')).toBe(2);
  });

  for (const [name, expire] of [
    [
      'status',
      (server: Awaited<ReturnType<typeof startServer>>) =>
        server.faults.failRequests(1, { status: 410, verb: 'watch', resource: 'services' }),
    ],
    ['event', (server: Awaited<ReturnType<typeof startServer>>) => server.faults.compact()],
  ] as const) {
    it(`lists again after 410 as ${name}, and delivers only what differs (R-87)`, async () => {
      const server = await startServer();
      for (const s of ['same', 'changed', 'gone']) server.store.apply(service(s));
      const { recorder } = await startSynced(server);
      const lists = server.requests.count('list', 'services');
      recorder.log.length = 0;
      server.faults.stallWatches('services');
      server.store.delete('Service', 'default', 'gone');
      server.store.apply(service('changed', { v: '2' }));
      server.store.apply(service('new'));
      expire(server);
      server.faults.resetWatches('services');
      await until(() => recorder.state.services.has('default/new'));
      expect(recorder.log).toEqual([
        'delete service default/gone',
        'set service default/changed',
        'set service default/new',
      ]);
      expect(server.requests.count('list', 'services')).toBeGreaterThan(lists);
    });
  }

  it('lists again after an ERROR event with 410 in a running watch', async () => {
    const server = await startServer();
    const { recorder } = await startSynced(server);
    const lists = server.requests.count('list', 'services');
    server.faults.expireWatches('services');
    await until(() => server.requests.count('list', 'services') > lists);
    server.store.apply(service('a'));
    await until(() => recorder.state.services.has('default/a'));
  });

  it('goes on from its version after an ERROR event with 500', async () => {
    const server = await startServer();
    const { recorder } = await startSynced(server);
    const lists = server.requests.count('list');
    server.faults.failWatches(500);
    server.store.apply(service('a'));
    await until(() => recorder.state.services.has('default/a'));
    expect(server.requests.count('list')).toBe(lists);
  });

  it('cuts a silent connection', async () => {
    const server = await startServer();
    const { recorder } = await startSynced(server, { reflector: { inactivityMs: 150 } });
    server.faults.stallWatches('services');
    server.store.apply(service('a'));
    await until(() => recorder.state.services.has('default/a'));
  });

  it('cuts a list that is never answered', async () => {
    const server = await startServer();
    server.store.apply(service('a'));
    server.faults.failRequests(1, { status: undefined, verb: 'list', resource: 'services' });
    const { recorder } = await startSource(server, { reflector: { inactivityMs: 150 } });
    await until(() => recorder.syncs === 1 && recorder.state.services.has('default/a'));
  });

  it('reads events cut at any byte, multibyte characters included', async () => {
    const server = await startServer({ validation: 'off' });
    const { recorder } = await startSynced(server);
    server.faults.splitWrites(3);
    const label = 'größe-日本語-🚰';
    server.store.apply(service('a', { label }));
    server.store.apply(service('b', { label }));
    await until(() => recorder.state.services.size === 2);
    expect(recorder.state.services.get('default/b')?.metadata?.labels?.label).toBe(label);
    expect(server.requests.count('watch', 'services')).toBe(1);
  });

  it('lists again after a line of garbage, and after one without end', async () => {
    const server = await startServer();
    const { recorder } = await startSynced(server, { reflector: { maxLineBytes: 10_000 } });
    for (const bytes of ['{"type":"ADDED","object":\n', '[]\n', 'x'.repeat(20_000)]) {
      const lists = server.requests.count('list', 'services');
      await until(() => server.faults.writeWatches(bytes, 'services') > 0);
      await until(() => server.requests.count('list', 'services') > lists);
    }
    server.store.apply(service('a'));
    await until(() => recorder.state.services.has('default/a'));
  });

  it('goes on from a bookmark when the history before it is gone', async () => {
    const server = await startServer();
    const { recorder } = await startSynced(server);
    server.store.apply({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'unrelated' } });
    server.faults.compact();
    // Without the bookmark, every version the watches know would be too old now.
    const lists = server.requests.count('list');
    const version = String(server.store.version);
    server.faults.sendBookmarks();
    // An event of the same watch that comes later shows that the bookmark was read.
    server.store.apply(service('after'));
    await until(() => recorder.state.services.has('default/after'));
    server.requests.reset();
    server.faults.closeWatches('nodes');
    await until(() => server.requests.count('watch', 'nodes') === 1);
    expect(server.requests.log.at(-1)?.query.get('resourceVersion')).toBe(version);
    server.store.apply({ apiVersion: 'v1', kind: 'Node', metadata: { name: 'node-1' } });
    await until(() => recorder.state.node !== undefined);
    expect(server.requests.count('list')).toBe(0);
    expect(lists).toBe(4);
  });

  it('tells an outage once and its end once, and takes over a state restored from a backup (R-87)', async () => {
    const first = await startServer();
    first.store.apply(service('kept'));
    for (let i = 0; i < 50; i++) first.store.apply(service('gone', { i: String(i) }));
    const { recorder } = await startSynced(first);
    await first.close();
    await until(() => recorder.problems.length > 0);
    expect(recorder.state.services.size).toBe(2);

    const second = await startServer({ port: Number(new URL(first.url).port), adminToken: first.token('proxier') });
    second.store.apply(service('kept'));
    second.store.apply(service('new'));
    expect(second.store.version).toBeLessThan(first.store.version);
    await until(() => recorder.state.services.has('default/new'));
    expect([...recorder.state.services.keys()].sort()).toEqual(['default/kept', 'default/new']);
    await until(() => recorder.problems.length === 2);
    expect(recorder.problems.map(({ message }) => message)).toEqual([expect.stringMatching(/retrying/), 'is back']);
  });
});
