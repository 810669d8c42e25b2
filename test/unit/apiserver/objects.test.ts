import { describe, expect, it } from 'vitest';
import { NODE_PROXIER_RULES } from '../../support/apiserver/auth.ts';
import { SERVICES, service, startClient } from './client.ts';

describe('API server: objects', () => {
  it('creates, reads, updates, deletes, and refuses what conflicts', async () => {
    const { call } = await startClient();
    const created = await call('POST', SERVICES, { body: service('a') });
    expect(created).toMatchObject({ status: 201, body: { kind: 'Service', metadata: { uid: expect.any(String) } } });
    expect((await call('POST', SERVICES, { body: service('a') })).body).toMatchObject({
      code: 409,
      reason: 'AlreadyExists',
    });
    const changed = await call('PUT', `${SERVICES}/a`, {
      body: { ...created.body, metadata: { ...created.body.metadata, labels: { x: 'y' } } },
    });
    expect(changed.body.metadata.resourceVersion).not.toBe(created.body.metadata.resourceVersion);
    expect((await call('PUT', `${SERVICES}/a`, { body: created.body })).body).toMatchObject({
      code: 409,
      reason: 'Conflict',
    });
    expect((await call('PUT', `${SERVICES}/a`, { body: changed.body })).body).toEqual(changed.body);
    expect((await call('DELETE', `${SERVICES}/a`)).body).toMatchObject({ status: 'Success', details: { name: 'a' } });
    expect((await call('GET', `${SERVICES}/a`)).body).toMatchObject({
      kind: 'Status',
      code: 404,
      message: 'services "a" not found',
    });
    expect((await call('POST', '/api/v1/namespaces/none/services', { body: service('a') })).body.message).toBe(
      'namespaces "none" not found',
    );
    const generated = await call('POST', SERVICES, { body: { ...service(''), metadata: { generateName: 'gen-' } } });
    expect(generated.body.metadata.name).toMatch(/^gen-.{5}$/);
  });

  it('patches in four ways', async () => {
    const { call } = await startClient();
    await call('POST', SERVICES, { body: service('a', { ports: [{ name: 'x', port: 80 }] }) });
    const patch = (type: string, body: unknown) =>
      call('PATCH', `${SERVICES}/a`, { type: `application/${type}`, body });
    expect(
      (await patch('merge-patch+json', { metadata: { labels: { a: '1', b: '2' } } })).body.metadata.labels,
    ).toEqual({ a: '1', b: '2' });
    const added = await patch('strategic-merge-patch+json', {
      spec: { ports: [{ name: 'y', port: 81 }] },
      metadata: { labels: { b: null } },
    });
    expect(added.body.metadata.labels).toEqual({ a: '1' });
    expect(added.body.spec.ports.map((port: { port: number }) => port.port)).toEqual([80, 81]);
    const removed = await patch('strategic-merge-patch+json', { spec: { ports: [{ port: 80, $patch: 'delete' }] } });
    expect(removed.body.spec.ports.map((port: { port: number }) => port.port)).toEqual([81]);
    const replaced = await patch('json-patch+json', [{ op: 'replace', path: '/spec/ports/0/port', value: 82 }]);
    expect(replaced.body.spec.ports[0].port).toBe(82);
    expect((await patch('json-patch+json', [{ op: 'remove', path: '/spec/nothing' }])).status).toBe(422);
    expect((await patch('unknown+json', {})).status).toBe(415);
    const path = `${SERVICES}/b?fieldManager=t`;
    const applied = await call('PATCH', path, { type: 'application/apply-patch+yaml', body: service('b') });
    expect(applied.status).toBe(201);
    expect((await call('PATCH', path, { type: 'application/apply-patch+yaml', body: service('b') })).status).toBe(200);
  });

  it('keeps status and the rest apart', async () => {
    const { call } = await startClient();
    const ingress = { loadBalancer: { ingress: [{ ip: '198.51.100.1' }] } };
    const created = await call('POST', SERVICES, {
      body: { ...service('a', { type: 'LoadBalancer' }), status: ingress },
    });
    expect(created.body.status).toEqual({ loadBalancer: {} });
    const stated = await call('PUT', `${SERVICES}/a/status`, { body: { ...created.body, spec: {}, status: ingress } });
    expect(stated.body.status).toEqual(ingress);
    expect(stated.body.spec).toEqual(created.body.spec);
    const { status: _status, ...rest } = stated.body;
    expect((await call('PUT', `${SERVICES}/a`, { body: rest })).body.status).toEqual(ingress);
  });

  it('deletes slices with their Service, objects with their namespace, and waits for finalizers', async () => {
    const { call, server } = await startClient();
    const { body } = await call('POST', SERVICES, { body: service('a') });
    const metadata = { name: 'a-1', ownerReferences: [{ kind: 'Service', name: 'a', uid: body.metadata.uid }] };
    server.store.apply({ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata, addressType: 'IPv4' });
    await call('DELETE', `${SERVICES}/a`);
    expect(server.store.list('EndpointSlice')).toEqual([]);

    server.store.apply({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'b', finalizers: ['x/y'] },
      spec: { ports: [{ port: 1 }] },
    });
    await call('DELETE', `${SERVICES}/b`);
    expect(server.store.get('Service', 'default', 'b')?.metadata.deletionTimestamp).toBeDefined();
    await call('PATCH', `${SERVICES}/b`, {
      type: 'application/merge-patch+json',
      body: { metadata: { finalizers: null } },
    });
    expect(server.store.get('Service', 'default', 'b')).toBeUndefined();

    server.store.apply({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'c', namespace: 'shop' },
      spec: { ports: [{ port: 1 }] },
    });
    await call('DELETE', '/api/v1/namespaces/shop');
    expect(server.store.list('Service')).toEqual([]);
  });

  it('asks who it is and what they may', async () => {
    const { call } = await startClient({ authorize: { proxier: NODE_PROXIER_RULES } });
    expect(await call('GET', '/api/v1/services', { token: 'wrong' })).toMatchObject({
      status: 401,
      body: { kind: 'Status', reason: 'Unauthorized' },
    });
    expect((await call('GET', '/api/v1/services', { user: 'proxier' })).status).toBe(200);
    const refused = await call('POST', SERVICES, { user: 'proxier', body: service('a') });
    expect(refused.body).toMatchObject({
      code: 403,
      message:
        'services is forbidden: User "proxier" cannot create resource "services" in API group "" in the namespace "default"',
    });
    const event = { metadata: { generateName: 'e' }, involvedObject: {}, reason: 'Test' };
    expect((await call('POST', '/api/v1/namespaces/default/events', { user: 'proxier', body: event })).status).toBe(
      201,
    );
    expect((await call('GET', '/api/v1/pods', { user: 'proxier' })).status).toBe(403);
    expect((await call('GET', '/api/v1/secrets')).status).toBe(404);
  });
});
