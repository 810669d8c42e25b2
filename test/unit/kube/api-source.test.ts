import { describe, expect, it } from 'vitest';
import { node, service, slice, startServer, startSource, startSynced } from './fixture.ts';
import { until } from './recorder.ts';

describe('API source', () => {
  it('lists page by page, tells synced once after everything was listed (R-4), then watches', async () => {
    const server = await startServer();
    for (let i = 0; i < 8; i++) server.store.apply(service(`s${i}`));
    server.store.apply(slice('s0', ['10.0.0.1']));
    server.store.apply(node('node-1'));
    server.store.apply(node('node-2'));
    const { recorder } = await startSynced(server);
    expect(recorder.log.indexOf('synced')).toBe(recorder.log.length - 1);
    expect(recorder.state.services.size).toBe(8);
    expect(recorder.state.slices.get('default/s0')?.endpoints?.[0]?.addresses).toEqual(['10.0.0.1']);
    expect(recorder.state.node?.metadata?.name).toBe('node-1');
    expect(server.requests.count('list', 'services')).toBe(3);

    server.store.apply(service('late'));
    server.store.delete('Service', 'default', 's3');
    server.store.apply(slice('s0', ['10.0.0.2']));
    await until(() => recorder.state.slices.get('default/s0')?.endpoints?.[0]?.addresses?.[0] === '10.0.0.2');
    await until(() => recorder.state.services.has('default/late') && !recorder.state.services.has('default/s3'));
    expect(recorder.syncs).toBe(1);
    expect(server.requests.count('list', 'services')).toBe(3);
    expect(recorder.problems).toEqual([]);
  });

  it('asks for bookmarks and a random time-out', async () => {
    const server = await startServer();
    await startSynced(server);
    for (const { query } of server.requests.log.filter(({ verb }) => verb === 'watch')) {
      expect(query.get('allowWatchBookmarks')).toBe('true');
      expect(Number(query.get('timeoutSeconds'))).toBeGreaterThanOrEqual(60);
    }
  });

  it('syncs an empty cluster and learns of its node later', async () => {
    const server = await startServer();
    const { recorder } = await startSynced(server);
    expect(recorder.log).toEqual(['no node', 'synced']);
    server.store.apply(node('node-1', { 'topology.kubernetes.io/zone': 'a' }));
    await until(() => recorder.state.node?.metadata?.labels?.['topology.kubernetes.io/zone'] === 'a');
    server.store.delete('Node', undefined, 'node-1');
    await until(() => recorder.state.node === undefined);
  });

  it('asks for the other nodes only when somebody wants to know them, and follows them then', async () => {
    const server = await startServer();
    server.store.apply(node('node-1'));
    server.store.apply(node('node-2'));
    const { recorder, source } = await startSynced(server);
    expect(recorder.nodeNames.size).toBe(0);
    expect(server.requests.count('list', 'nodes')).toBe(1);
    source.watchNodes();
    await until(() => recorder.nodeLists === 1 && recorder.nodeNames.size === 2);
    server.store.apply(node('node-3'));
    server.store.delete('Node', undefined, 'node-2');
    await until(() => [...recorder.nodeNames].sort().join() === 'node-1,node-3');
    source.watchNodes();
    expect(recorder.nodeLists).toBe(1);
  });

  it('does not pass on changes of a Node that nobody reads', async () => {
    const server = await startServer();
    server.store.apply(node('node-1'));
    const { recorder } = await startSynced(server);
    server.store.apply({ ...node('node-1'), status: { ...node('node-1').status, images: ['x'] } });
    server.store.apply(node('node-1', { zone: 'b' }));
    await until(() => recorder.state.node?.metadata?.labels?.zone === 'b');
    expect(recorder.log.filter((line) => line === 'set node node-1')).toHaveLength(2);
  });

  it('leaves Services of another proxy alone, both ways on a live Service (R-2)', async () => {
    const server = await startServer();
    const other = { 'service.kubernetes.io/service-proxy-name': 'other' };
    server.store.apply(service('ours'));
    server.store.apply(service('theirs', other));
    const { recorder } = await startSynced(server);
    expect([...recorder.state.services.keys()]).toEqual(['default/ours']);
    server.store.apply(service('ours', other));
    await until(() => recorder.state.services.size === 0);
    server.store.apply(service('ours', {}));
    await until(() => recorder.state.services.has('default/ours'));
    const second = await startSynced(server, { serviceProxyName: 'other' });
    expect([...second.recorder.state.services.keys()]).toEqual(['default/theirs']);
  });

  it('does not watch slices of headless Services (R-3)', async () => {
    const server = await startServer();
    server.store.apply(slice('web', ['10.0.0.1']));
    const { recorder } = await startSynced(server);
    server.store.apply(slice('web', ['10.0.0.1'], { 'service.kubernetes.io/headless': '' }));
    await until(() => recorder.state.slices.size === 0);
  });

  it('delivers many changes of one moment in few batches, in order', async () => {
    const server = await startServer();
    const { recorder } = await startSynced(server);
    const before = recorder.batches;
    for (let i = 0; i < 500; i++) server.store.apply(service(`s${i}`));
    await until(() => recorder.state.services.size === 500);
    expect(recorder.batches - before).toBeLessThan(100);
    expect(recorder.log.filter((line) => line.startsWith('set service'))).toEqual(
      Array.from({ length: 500 }, (_, i) => `set service default/s${i}`),
    );
  });

  it('stops when the signal aborts, while it lists and while it watches', async () => {
    const server = await startServer();
    const watching = await startSynced(server);
    await watching.stop();
    server.faults.failRequests(100, { status: undefined, verb: 'list' });
    const listing = await startSource(server);
    await until(() => server.requests.count('list', 'services') > 1);
    await listing.stop();
    expect(listing.recorder.log).toEqual([]);
  });

  it('says which right is missing, goes on trying, and says when it was granted', async () => {
    const server = await startServer();
    server.faults.failRequests(3, { status: 403, resource: 'nodes' });
    const { recorder } = await startSynced(server);
    await until(() => recorder.problems.length === 2);
    expect(recorder.problems.map(({ object }) => object)).toEqual(['nodes', 'nodes']);
    expect(recorder.problems[0]?.message).toMatch(/HTTP 403.*system:node-proxier/);
    const denied = await startSource(server, { user: 'nobody' });
    await until(() => denied.recorder.problems.length === 4);
    expect(denied.recorder.problems[0]?.message).toContain('User "nobody" cannot list resource');
    expect(denied.recorder.syncs).toBe(0);
  });

  it('tells the networks of ServiceCIDRs, and each change (R-32)', async () => {
    const server = await startServer();
    const cidrs = (name: string, ...networks: string[]) => ({
      apiVersion: 'networking.k8s.io/v1',
      kind: 'ServiceCIDR',
      metadata: { name },
      spec: { cidrs: networks },
    });
    server.store.apply(cidrs('kubernetes', '10.96.0.0/16', 'fd00::/112'));
    const { recorder } = await startSynced(server);
    await until(() => recorder.networks.length === 1);
    server.store.apply(cidrs('more', '10.97.0.0/16', '10.96.0.0/16'));
    await until(() => recorder.networks.length === 2);
    server.store.delete('ServiceCIDR', undefined, 'kubernetes');
    await until(() => recorder.networks.length === 3);
    expect(recorder.networks).toEqual([
      ['10.96.0.0/16', 'fd00::/112'],
      ['10.96.0.0/16', '10.97.0.0/16', 'fd00::/112'],
      ['10.96.0.0/16', '10.97.0.0/16'],
    ]);
    expect(recorder.problems).toEqual([]);
  });

  it.each([
    403, 404,
  ])('goes on without ServiceCIDRs when the server says %i, and says so once (R-32, R-93)', async (status) => {
    const server = await startServer();
    server.faults.failRequests(3, { status, resource: 'servicecidrs' });
    const { recorder } = await startSynced(server, { reflector: { refusedMs: 20 } });
    await until(() => recorder.problems.length === 2);
    expect(recorder.problems.map(({ object }) => object)).toEqual(['servicecidrs', 'servicecidrs']);
    expect(recorder.problems[0]?.message).toContain('going on without: packets to cluster IPs that no Service has');
    expect(recorder.problems[1]?.message).toContain('works again');
    expect(recorder.networks[0]).toBeUndefined();
    expect(recorder.networks[1]).toEqual(['10.96.0.0/16', 'fd96::/108']);
    expect(recorder.syncs).toBe(1);
  });
});
