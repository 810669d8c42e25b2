import { Agent } from 'node:http';
import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { serveHttp } from '../../../src/serve/listen.ts';
import { respond } from '../../../src/serve/respond.ts';
import { get, start, takePort } from './http.ts';

const handler: Parameters<typeof start>[0] = (_, response) => respond(response, 200, 'text/plain', 'here');

describe('serveHttp', () => {
  test('R-81: serves until the signal aborts, and ends idle and busy connections', async () => {
    let started: () => void = () => {};
    const busy = new Promise<void>((done) => {
      started = done;
    });
    const server = await start((request, response) => {
      if (request.url !== '/busy') return handler(request, response);
      started();
    });
    const agent = new Agent({ keepAlive: true });
    expect(await get(server.port, '/', { agent })).toMatchObject({ code: 200, body: 'here' });
    const unanswered = get(server.port, '/busy').catch((error: NodeJS.ErrnoException) => error.code);
    await busy;
    await server.stop();
    expect(await unanswered).toBe('ECONNRESET');
    await expect(get(server.port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    agent.destroy();
  });

  test('a client that sends nothing does not hold up the end', async () => {
    const server = await start(handler);
    const silent = connect(server.port, '127.0.0.1');
    await new Promise((done) => silent.once('connect', done));
    silent.write('GET / HT');
    await get(server.port);
    const closed = new Promise((done) => silent.once('close', done).on('error', () => {}));
    await server.stop();
    await closed;
  });

  test('an address that is taken is reported once and tried again', async () => {
    const { port, release } = await takePort();
    const problems: string[] = [];
    let tell: () => void = () => {};
    const told = new Promise<void>((done) => {
      tell = done;
    });
    const started = start(handler, {
      port,
      retry: 5,
      onProblem: (message) => {
        problems.push(message);
        tell();
      },
    });
    await told;
    await release();
    const server = await started;
    expect(await get(port)).toMatchObject({ code: 200 });
    expect(problems).toEqual([
      `listen for test on 127.0.0.1:${port}: another process has the port; stop it or choose another`,
    ]);
    await server.stop();
  });

  test('bindAddressHardFail: an address that is taken is an error', async () => {
    const { port, release } = await takePort();
    await expect(start(handler, { port, hardFail: true })).rejects.toMatchObject({ code: 'LISTEN_FAILED' });
    await release();
  });

  test('0.0.0.0 is every address of both families, as in kube-proxy', async () => {
    const server = await start(handler, { address: '0.0.0.0' });
    expect(await get(server.port)).toMatchObject({ code: 200 });
    if (server.at.family === 'IPv6') expect(await get(server.port, '/', { host: '::1' })).toMatchObject({ code: 200 });
    await server.stop();
  });

  test('an abort ends the wait for an address', async () => {
    const { port, release } = await takePort();
    const stop = new AbortController();
    await serveHttp({
      name: 'test',
      address: '127.0.0.1',
      port,
      handler,
      signal: stop.signal,
      retry: 1_000_000,
      onProblem: () => queueMicrotask(() => stop.abort()),
    });
    await release();
  });
});
