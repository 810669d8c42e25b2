import { describe, expect, it } from 'vitest';
import { SERVICES, service, startClient } from './client.ts';

describe('API server: Services', () => {
  it('sets defaults and gives addresses and ports', async () => {
    const { call } = await startClient();
    const { body } = await call('POST', SERVICES, {
      body: service('a', { sessionAffinity: 'ClientIP', type: 'NodePort' }),
    });
    expect(body.spec).toMatchObject({
      clusterIP: '10.96.1.1',
      clusterIPs: ['10.96.1.1'],
      ipFamilies: ['IPv4'],
      ipFamilyPolicy: 'SingleStack',
      internalTrafficPolicy: 'Cluster',
      externalTrafficPolicy: 'Cluster',
      sessionAffinityConfig: { clientIP: { timeoutSeconds: 10800 } },
      ports: [{ port: 80, protocol: 'TCP', targetPort: 80, nodePort: 30086 }],
    });
  });

  it('serves the families that are asked for', async () => {
    const { call } = await startClient();
    const ips = async (name: string, spec: object) =>
      (await call('POST', SERVICES, { body: service(name, spec) })).body.spec?.clusterIPs;
    expect(await ips('a', { ipFamilyPolicy: 'PreferDualStack' })).toEqual(['10.96.1.1', 'fd96::101']);
    expect(await ips('b', { ipFamilyPolicy: 'RequireDualStack', ipFamilies: ['IPv6', 'IPv4'] })).toEqual([
      'fd96::102',
      '10.96.1.2',
    ]);
    expect(await ips('c', { ipFamilies: ['IPv6'] })).toEqual(['fd96::103']);
    expect(await ips('d', { clusterIP: 'None' })).toEqual(['None']);
    expect(await ips('e', { type: 'ExternalName', externalName: 'example.org' })).toBeUndefined();
    expect(await ips('f', { clusterIP: '10.96.7.7' })).toEqual(['10.96.7.7']);
    expect(await ips('g', { clusterIP: '10.96.7.7' })).toBeUndefined();
    expect(await ips('h', { clusterIP: '192.0.2.1' })).toBeUndefined();
    const single = await startClient({ serviceCidrs: ['10.97.0.0/24'] });
    const refused = await single.call('POST', SERVICES, { body: service('a', { ipFamilyPolicy: 'RequireDualStack' }) });
    expect(refused.body).toMatchObject({ code: 422, reason: 'Invalid' });
  });

  it('keeps what was given over updates and takes back what is given up', async () => {
    const { call, server } = await startClient({ loadBalancerCidrs: ['198.51.100.0/29'] });
    const spec = { type: 'LoadBalancer', externalTrafficPolicy: 'Local' };
    const { body } = await call('POST', SERVICES, { body: service('a', spec) });
    expect(body.status.loadBalancer.ingress).toEqual([{ ip: '198.51.100.1', ipMode: 'VIP' }]);
    expect(body.spec.healthCheckNodePort).toBe(30087);
    const again = await call('PUT', `${SERVICES}/a`, { body: service('a', spec) });
    expect(again.body.spec).toMatchObject({
      clusterIP: body.spec.clusterIP,
      healthCheckNodePort: 30087,
      ports: [{ nodePort: 30086 }],
    });
    const patched = await call('PATCH', `${SERVICES}/a`, {
      type: 'application/merge-patch+json',
      body: { spec: { type: 'ClusterIP' } },
    });
    expect(patched.body.spec.ports[0].nodePort).toBeUndefined();
    expect(patched.body.spec.healthCheckNodePort).toBeUndefined();
    expect(patched.body.status).toEqual({ loadBalancer: {} });
    const reuse = service('b', { type: 'NodePort', clusterIP: '10.96.0.9', ports: [{ port: 1, nodePort: 30086 }] });
    expect((await call('POST', SERVICES, { body: reuse })).status).toBe(201);
    expect((await call('POST', SERVICES, { body: { ...reuse, metadata: { name: 'c' } } })).status).toBe(422);
    await call('DELETE', `${SERVICES}/b`);
    expect((await call('POST', SERVICES, { body: { ...reuse, metadata: { name: 'c' } } })).status).toBe(201);
    expect(server.store.list('Service')).toHaveLength(2);
  });

  it('says every fault of an object with its field', async () => {
    const { call } = await startClient();
    const faults = async (spec: object) =>
      (await call('POST', SERVICES, { body: service('a', spec) })).body.details?.causes?.map(
        (c: { field: string }) => c.field,
      );
    expect(await faults({ ports: [{ port: 0 }, { port: 70000, protocol: 'ICMP' }] })).toEqual([
      'spec.ports[0].port',
      'spec.ports[0].name',
      'spec.ports[1].port',
      'spec.ports[1].protocol',
      'spec.ports[1].name',
    ]);
    expect(await faults({ ports: [] })).toEqual(['spec.ports']);
    expect(await faults({ type: 'Odd', sessionAffinity: 'Odd' })).toEqual(['spec.type', 'spec.sessionAffinity']);
    expect(await faults({ ports: [{ port: 1, nodePort: 30000 }] })).toEqual(['spec.ports[0].nodePort']);
    expect(await faults({ type: 'NodePort', ports: [{ port: 1, nodePort: 80 }] })).toEqual(['spec.ports[0].nodePort']);
    expect(await faults({ externalIPs: ['x'], loadBalancerSourceRanges: ['10.0.0.0/33'] })).toEqual([
      'spec.externalIPs[0]',
      'spec.LoadBalancerSourceRanges[0]',
    ]);
    // A refused request has taken nothing.
    expect((await call('POST', SERVICES, { body: service('a', { type: 'NodePort' }) })).body.spec).toMatchObject({
      clusterIP: '10.96.1.1',
      ports: [{ nodePort: 30086 }],
    });
  });

  it('gives back what a refused request had taken', async () => {
    const { call } = await startClient();
    await call('POST', SERVICES, { body: service('a', { type: 'NodePort' }) });
    const wish = { type: 'NodePort', clusterIP: '10.96.0.50', ports: [{ port: 1, nodePort: 30086 }] };
    expect((await call('POST', SERVICES, { body: service('b', wish) })).status).toBe(422);
    expect((await call('POST', SERVICES, { body: service('c', { clusterIP: '10.96.0.50' }) })).status).toBe(201);
    expect(
      (await call('PATCH', `${SERVICES}/a`, { type: 'application/merge-patch+json', body: { spec: wish } })).status,
    ).toBe(422);
    expect((await call('POST', SERVICES, { body: service('d', wish) })).status).toBe(422);
  });

  it('stores anything with validation off', async () => {
    const { call } = await startClient({ validation: 'off' });
    const hostile = { metadata: { name: 'a' }, spec: { clusterIP: 'no address', ports: [{ port: 'http' }, null] } };
    expect((await call('POST', SERVICES, { body: hostile })).body.spec).toEqual(hostile.spec);
  });
});
