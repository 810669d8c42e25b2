import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  createHealthCheckServers,
  type HealthCheckServers,
  type ServiceHealthCheck,
} from '../../../src/serve/health-check-servers.ts';
import { get, takePort } from './http.ts';

const HERE = ['127.0.0.1'];

let servers: HealthCheckServers;
let healthy: boolean;
let failures: string[];
let port: number;

beforeEach(async () => {
  healthy = true;
  failures = [];
  servers = createHealthCheckServers({
    healthy: () => healthy,
    onFailed: ({ namespace, name }, message) => failures.push(`${namespace}/${name}: ${message}`),
  });
  const free = await takePort();
  port = free.port;
  await free.release();
});
afterEach(() => servers.close());

const web = (fields: Partial<ServiceHealthCheck> = {}): ServiceHealthCheck => ({
  namespace: 'shop',
  name: 'web',
  port,
  localEndpoints: 2,
  ...fields,
});

describe('createHealthCheckServers', () => {
  test('R-75, R-76: 200 with the exact body and headers, on any path', async () => {
    await servers.sync([web()], HERE);
    for (const path of ['/', '/healthz', '/any/path?x=1']) {
      const { code, headers, body } = await get(port, path);
      expect(code).toBe(200);
      expect(body).toBe(
        '{\n\t"service": {\n\t\t"namespace": "shop",\n\t\t"name": "web"\n\t},\n\t"localEndpoints": 2,\n\t"serviceProxyHealthy": true\n}',
      );
      expect(headers).toMatchObject({
        'content-type': 'application/json',
        'x-content-type-options': 'nosniff',
        'x-load-balancing-endpoint-weight': '2',
      });
    }
    expect(await get(port, '/', { method: 'HEAD' })).toMatchObject({ code: 200, body: '' });
  });

  test('R-75: 503 without local endpoints', async () => {
    await servers.sync([web({ localEndpoints: 0 })], HERE);
    expect(await get(port)).toMatchObject({
      code: 503,
      body: expect.stringContaining('"localEndpoints": 0'),
      headers: { 'x-load-balancing-endpoint-weight': '0' },
    });
  });

  test('R-75: 503 while the proxy is not healthy', async () => {
    await servers.sync([web()], HERE);
    healthy = false;
    expect(await get(port)).toMatchObject({ code: 503, body: expect.stringContaining('"serviceProxyHealthy": false') });
  });

  test('R-77: each family answers for its own endpoints', async () => {
    await servers.sync([web({ localEndpointsByFamily: { IPv4: 1, IPv6: 2 } })], ['127.0.0.1', '::1']);
    expect((await get(port)).headers['x-load-balancing-endpoint-weight']).toBe('1');
    expect((await get(port, '/', { host: '::1' })).headers['x-load-balancing-endpoint-weight']).toBe('2');
    await servers.sync([web({ localEndpointsByFamily: { IPv6: 2 } })], ['127.0.0.1', '::1']);
    expect((await get(port)).code).toBe(503);
  });

  test('R-75: follows changes of count, port and address, and closes what is gone', async () => {
    await servers.sync([web()], HERE);
    await servers.sync([web({ localEndpoints: 1 })], HERE);
    expect((await get(port)).headers['x-load-balancing-endpoint-weight']).toBe('1');
    const free = await takePort();
    await free.release();
    await servers.sync([web({ port: free.port })], HERE);
    await expect(get(port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    expect(await get(free.port)).toMatchObject({ code: 200 });
    await servers.sync([web({ port: free.port })], ['127.0.0.2']);
    await expect(get(free.port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    expect(await get(free.port, '/', { host: '127.0.0.2' })).toMatchObject({ code: 200 });
    await servers.sync([], ['127.0.0.2']);
    await expect(get(free.port, '/', { host: '127.0.0.2' })).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  test('R-75: the wildcard addresses of both families stand side by side', async () => {
    await servers.sync([web()], ['0.0.0.0', '::']);
    expect(failures).toEqual([]);
    expect(await get(port)).toMatchObject({ code: 200 });
  });

  test('R-78: a port that is taken is told once, the others go on, and it is tried again', async () => {
    const taken = await takePort();
    const api = web({ name: 'api', port: taken.port });
    await servers.sync([api, web()], HERE);
    await servers.sync([api, web()], HERE);
    expect(failures).toEqual([
      `shop/api: listen for health checks of shop/api on 127.0.0.1:${taken.port}: another process has the port; stop it or choose another`,
    ]);
    expect(await get(port)).toMatchObject({ code: 200 });
    await taken.release();
    await servers.sync([api, web()], HERE);
    expect(await get(taken.port)).toMatchObject({ code: 200, body: expect.stringContaining('"name": "api"') });
    expect(failures).toHaveLength(1);
  });

  test('calls that overlap take effect in their order', async () => {
    await Promise.all([
      servers.sync([web()], HERE),
      servers.sync([], HERE),
      servers.sync([web({ localEndpoints: 5 })], HERE),
    ]);
    expect((await get(port)).headers['x-load-balancing-endpoint-weight']).toBe('5');
  });
});
