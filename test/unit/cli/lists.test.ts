import { expect, test } from 'vitest';
import {
  BACKEND_KEPT,
  BACKEND_LOCAL,
  BACKEND_TERMINATING,
  FRONTEND_CLUSTER_IP,
  FRONTEND_EXTERNAL_DROP,
  FRONTEND_EXTERNAL_LOCAL,
  FRONTEND_LOAD_BALANCER,
  FRONTEND_NODE_PORT,
  FRONTEND_SNAT_HOST,
  FRONTEND_SNAT_OUTSIDE,
  FRONTEND_SNAT_POD,
  FRONTEND_SOURCE_RANGES,
  mark,
  sourceRangeKey,
} from '../../../maps-schema/gen/codecs.ts';
import { createMaps, kernelWith, put, putFrontend, putName, putSlot, sluice } from './fake-kernel.ts';

/** web has a load balancer with policy Local; db has IPv6; 9 has lost its name. */
function shop() {
  const maps = createMaps();
  putName(maps, 1, 'shop/web', 'http');
  putName(maps, 2, 'data/db');
  const cluster = { servicePortId: 1, internalBase: 1, internalCount: 3, externalBase: 1, externalCount: 3 };
  putFrontend(maps, {}, { ...cluster, flags: FRONTEND_CLUSTER_IP | FRONTEND_SNAT_HOST, affinitySeconds: 10_800 });
  const outside = { ...cluster, externalBase: 5, externalCount: 1 };
  const local = FRONTEND_EXTERNAL_LOCAL | FRONTEND_SNAT_HOST;
  putFrontend(maps, { address: '0.0.0.0', port: 30080 }, { ...outside, flags: FRONTEND_NODE_PORT | local });
  const ranges = FRONTEND_LOAD_BALANCER | local | FRONTEND_SOURCE_RANGES;
  putFrontend(maps, { address: '198.51.100.1' }, { ...outside, flags: ranges });
  const key = { servicePortId: 1, prefixlen: 32 + 96 + 24, address: '203.0.113.0' };
  put(maps.sourceRanges, sourceRangeKey, key, mark, { flags: 0 });
  const all = FRONTEND_SNAT_POD | FRONTEND_SNAT_HOST | FRONTEND_SNAT_OUTSIDE;
  const empty = FRONTEND_NODE_PORT | FRONTEND_EXTERNAL_DROP | all;
  putFrontend(maps, { address: '::', port: 30053, proto: 17 }, { servicePortId: 2, flags: empty });
  putFrontend(maps, { address: '10.96.9.9', port: 9 }, { servicePortId: 9 });
  return maps;
}

test('service list: a row for each frontend, sorted by Service', async () => {
  const { code, out } = await sluice(['service', 'list'], kernelWith(shop()));
  expect(code).toBe(0);
  expect(out).toBe(
    [
      'NAMESPACE   NAME   PORT   TYPE           FRONTEND              BACKENDS              NOTES',
      '-           -      -      ClusterIP      10.96.9.9:9/TCP       0                     -',
      'data        db     -      NodePort       [::]:30053/UDP        0                     drops-outside,source-nat=pods+node+outside',
      'shop        web    http   ClusterIP      10.96.0.1:80/TCP      3                     affinity=10800s,source-nat=node',
      'shop        web    http   NodePort       0.0.0.0:30080/TCP     3 inside, 1 outside   externalTrafficPolicy=Local,source-nat=node',
      'shop        web    http   LoadBalancer   198.51.100.1:80/TCP   3 inside, 1 outside   externalTrafficPolicy=Local,source-nat=node,source-ranges=1',
      '',
    ].join('\n'),
  );
});

test('service list -o wide adds ids, extents and source ranges', async () => {
  const { out } = await sluice(['service', 'list', 'web', '-n', 'shop', '-o', 'wide'], kernelWith(shop()));
  expect(out.split('\n')[0]).toMatch(/ NOTES +ADDRESSES +SOURCE-RANGES +ID +SLOTS-INSIDE +SLOTS-OUTSIDE$/);
  expect(out.split('\n')[3]).toMatch(/^shop .* - +203\.0\.113\.0\/24 +1 +1-3 +5$/);
});

test('service list filters by namespace and by name', async () => {
  const names = async (...words: string[]) => {
    const { out } = await sluice(['service', 'list', '-o', 'json', ...words], kernelWith(shop()));
    return (JSON.parse(out) as { items: { name: string }[] }).items.map(({ name }) => name);
  };
  expect(await names('-n', 'data')).toEqual(['db']);
  expect(await names('web')).toEqual(['web', 'web', 'web']);
});

test('a Service that was named and is not there: exit code 1', async () => {
  const kernel = kernelWith(shop());
  expect(await sluice(['service', 'list', 'wep', '-n', 'shop'], kernel)).toMatchObject({
    code: 1,
    out: '',
    err: 'sluice: no frontends of a Service shop/wep in the kernel\n',
  });
  expect(await sluice(['service', 'list', '-n', 'empty'], kernel)).toMatchObject({
    code: 0,
    err: 'no frontends in namespace empty\n',
  });
});

/** Three for the cluster, the first of them local and in the external list too; then one kept. */
function backends() {
  const maps = shop();
  putSlot(maps, 1, { flags: BACKEND_LOCAL });
  putSlot(maps, 2, { flags: BACKEND_TERMINATING });
  putSlot(maps, 3, {}, false);
  putSlot(maps, 4, { flags: BACKEND_KEPT });
  putSlot(maps, 5, { address: '10.244.0.1', backendId: 1, flags: BACKEND_LOCAL });
  putSlot(maps, 6, { flags: BACKEND_KEPT, address: '10.244.0.7', backendId: 0 });
  return maps;
}

test('backend list: a row for each backend of a Service port', async () => {
  const { code, out } = await sluice(['backend', 'list'], kernelWith(backends()));
  expect(code).toBe(0);
  expect(out).toBe(
    [
      'NAMESPACE   NAME   PORT   BACKEND               STATE         LOCAL   CLIENTS',
      'shop        web    http   10.244.0.1:8080/TCP   serving       yes     inside,outside',
      'shop        web    http   10.244.0.2:8080/TCP   terminating   no      inside',
      'shop        web    http   10.244.0.3:8080/TCP   stale         no      inside',
      'shop        web    http   10.244.0.4:8080/TCP   kept          no      -',
      '',
    ].join('\n'),
  );
});

test("backend list: an extent's kept slots end where the next extent begins", async () => {
  const maps = backends();
  putName(maps, 3, 'shop/other');
  putSlot(maps, 4, { flags: BACKEND_KEPT, address: '10.244.9.9' });
  putFrontend(maps, { port: 81 }, { servicePortId: 3, internalBase: 4, externalBase: 4 });
  const rows = async (name: string) => (await sluice(['backend', 'list', name], kernelWith(maps))).out;
  expect(await rows('web')).not.toContain('10.244.9.9');
  expect(await rows('other')).toContain('10.244.9.9:8080/TCP   kept');
});

test('backend list of a Service without ClusterIP neighbours: both lists are its own', async () => {
  const maps = createMaps();
  putName(maps, 1, 'a/b');
  putFrontend(maps, {}, { internalBase: 1, internalCount: 1, externalBase: 2, externalCount: 1 });
  putSlot(maps, 1, {});
  putSlot(maps, 2, {});
  const { out } = await sluice(['backend', 'list', '-o', 'json'], kernelWith(maps));
  const { items } = JSON.parse(out) as { items: { address: string; lists: string[] }[] };
  expect(items.map(({ address, lists }) => [address, lists])).toEqual([
    ['10.244.0.1', ['internal']],
    ['10.244.0.2', ['external']],
  ]);
});

test('empty lists say so on stderr', async () => {
  for (const what of ['backend', 'flow', 'service']) {
    expect(await sluice([what, 'list'])).toMatchObject({ code: 0, out: '', err: expect.stringMatching(/^no \w+\n$/) });
  }
  expect(await sluice(['service', 'list', '-o', 'json'])).toMatchObject({ out: '{"items": []}\n' });
});
