import { describe, expect, it } from 'vitest';
import { optOutsOf, type PlacedPod, stripForOptOut } from '../../../src/kube/socket-opt-outs.ts';
import { NODE_PROXIER_RULES } from '../../support/apiserver/auth.ts';
import { startServer, startSource, startSynced } from './fixture.ts';
import { until } from './recorder.ts';

const KEY = 'sluice.io/socket-lb';
const pod = (name: string, metadata: object = {}, rest: object = {}): PlacedPod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'default', uid: `uid-${name}`, ...metadata },
  spec: { nodeName: 'node-1' },
  ...rest,
});
const namespace = (name: string, metadata: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, ...metadata },
});
const says = (word: string) => ({ [KEY]: word });
const uids = (pods: PlacedPod[], ...namespaces: ReturnType<typeof namespace>[]) =>
  optOutsOf(pods, new Map(namespaces.map((object) => [object.metadata.name, object])), 'node-1').uids;

describe('a pod opts out', () => {
  it.each(['labels', 'annotations'])('by its own %s', (where) => {
    expect(uids([pod('a', { [where]: says('false') }), pod('b', { [where]: says('true') }), pod('c')])).toEqual([
      'uid-a',
    ]);
  });

  it.each(['labels', 'annotations'])('by the %s of its Namespace, unless it says something itself', (where) => {
    const pods = [pod('a'), pod('b', { annotations: says('true') }), pod('c', { namespace: 'other' })];
    expect(uids(pods, namespace('default', { [where]: says('false') }), namespace('other'))).toEqual(['uid-a']);
  });

  it('on this node alone, and while it has processes', () => {
    const off = { labels: says('false') };
    const pods = [
      pod('a', off, { spec: { nodeName: 'node-2' } }),
      pod('b', off, { status: { phase: 'Failed' } }),
      pod('c', off, { status: { phase: 'Succeeded' } }),
      pod('d', off, { status: { phase: 'Pending' } }),
    ];
    expect(uids(pods)).toEqual(['uid-d']);
  });

  it('by the name that the kubelet gives a static pod; one without uid is told', () => {
    const mirror = pod('a', { labels: says('false'), annotations: { 'kubernetes.io/config.hash': 'abc' } });
    expect(uids([mirror])).toEqual(['abc']);
    expect(optOutsOf([pod('b', { labels: says('false'), uid: undefined })], new Map(), 'node-1')).toEqual({
      uids: [],
      unknown: ['default/b'],
    });
  });

  it('the same when stripped, however often', () => {
    const mirror = pod('a', {
      labels: { app: 'x' },
      annotations: { ...says('false'), 'kubernetes.io/config.hash': 'abc' },
      managedFields: ['x'],
    });
    const once = stripForOptOut(mirror);
    expect(once.metadata).toEqual({ name: 'a', namespace: 'default', uid: 'abc', labels: says('false') });
    expect(stripForOptOut(once)).toEqual(once);
    expect(uids([once])).toEqual(['abc']);
  });
});

describe('from the API server', () => {
  const rights = [
    ...NODE_PROXIER_RULES,
    { apiGroups: [''], resources: ['pods', 'namespaces'], verbs: ['list', 'watch'] },
  ];
  const start = () => startServer({ authorize: { proxier: NODE_PROXIER_RULES, watcher: rights } });
  const stored = (name: string, labels: Record<string, string>, nodeName = 'node-1') => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels },
    spec: { nodeName },
  });

  it('Pods of this node and Namespaces are followed', async () => {
    const server = await start();
    server.store.apply(stored('a', says('false')));
    server.store.apply(stored('far', says('false'), 'node-2'));
    const { recorder } = await startSource(server, { watchPods: true, user: 'watcher' });
    const count = (n: number) => until(() => recorder.optOuts.at(-1)?.length === n);
    await count(1);
    server.store.apply(stored('b', {}));
    server.store.apply(namespace('default', { annotations: says('false') }));
    await count(2);
    server.store.apply(stored('b', says('true')));
    await count(1);
    server.store.delete('Pod', 'default', 'a');
    await count(0);
    expect(recorder.problems).toEqual([]);
    const asked = server.requests.log.filter(({ resource, verb }) => resource === 'pods' && verb === 'list');
    expect(asked.map(({ query }) => query.get('fieldSelector'))).toContain('spec.nodeName=node-1');
  });

  it('nobody is asked for them without the flag (R-93)', async () => {
    const server = await start();
    const { recorder } = await startSynced(server);
    expect(server.requests.count('list', 'pods') + server.requests.count('list', 'namespaces')).toBe(0);
    expect(recorder.optOuts).toEqual([]);
  });

  it('without the right it is said what is missing, and all else goes on', async () => {
    const server = await start();
    const { recorder } = await startSource(server, { watchPods: true });
    await until(() => recorder.syncs === 1 && recorder.problems.length === 2);
    expect(recorder.problems.map(({ message }) => message).sort()).toEqual([
      expect.stringMatching(/^read namespaces: .*going on without: only Pods can opt out/),
      expect.stringMatching(/^read pods: .*going on without: the socket hook serves pods/),
    ]);
    expect(recorder.optOuts).toEqual([]);
  });
});
