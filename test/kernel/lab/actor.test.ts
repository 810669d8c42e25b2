import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createLab, type Lab } from '../../support/lab/lab.ts';
import type { Pod } from '../../support/lab/node.ts';
import { poll } from '../../support/lab/poll.ts';

describe('actors', () => {
  let lab: Lab;
  let client: Pod;
  let server: Pod;

  beforeAll(async () => {
    lab = await createLab({ nodes: 1, podsPerNode: 2, externalClients: 0 });
    [client, server] = [lab.pod(1, 1), lab.pod(1, 2)];
    await server.actor.serve({ http: [80], tcp: [9000], udp: [5000], dns: [53] });
  });

  afterAll(() => lab?.destroy());

  it('keep a TCP connection open and notice when it is cut', async () => {
    const conversation = await client.actor.open('tcp', server.ipv4, 9000);
    expect(conversation.opened).toMatchObject({ ok: true, who: server.name, peerAddress: server.ipv4 });
    expect(await conversation.exchange({ bytes: 100_000 })).toMatchObject({ ok: true, bytes: 100_000 });
    expect(await server.actor.openConnections()).toBe(1);
    await server.actor.unserve({ ports: [9000], connections: true });
    expect((await conversation.exchange()).ok).toBe(false);
    expect(await client.actor.tcp(server.ipv4, 9000)).toMatchObject({ errno: 'ECONNREFUSED' });
    await server.actor.serve({ tcp: [9000] });
  });

  it.each([true, false])('keep a UDP socket open (connected: %s)', async (connected) => {
    const conversation = await client.actor.open('udp', server.ipv6, 5000, {
      connected,
      localPort: connected ? 4001 : 4002,
    });
    for (const bytes of [1, 1400]) {
      const answer = await conversation.exchange({ bytes });
      expect(answer).toMatchObject({ ok: true, bytes, seenPort: connected ? 4001 : 4002, peerAddress: server.ipv6 });
    }
    await conversation.close();
  });

  it('answer DNS over UDP with real resolvers', async () => {
    await server.actor.setZone({ 'web.shop.svc.cluster.local': ['10.96.0.7', 'fd96::7'] });
    const ask = (name: string, type: 'A' | 'AAAA' | 'TXT') => client.actor.resolve({ server: server.ipv4, name, type });
    expect(await ask('web.shop.svc.cluster.local', 'A')).toMatchObject({ ok: true, records: ['10.96.0.7'] });
    expect(await ask('WEB.shop.svc.cluster.local', 'AAAA')).toMatchObject({ ok: true, records: ['fd96::7'] });
    expect(await ask('who.answers', 'TXT')).toMatchObject({ ok: true, records: [server.name] });
    expect(await ask('nobody.shop.svc.cluster.local', 'A')).toMatchObject({ ok: false, errno: 'ENOTFOUND' });
  });

  it('count a load: answers, failures by their errno, and latency', async () => {
    const load = await client.actor.load({ protocol: 'http', address: server.ipv4, port: 80, count: 50 });
    const report = await load.finished();
    expect(report).toMatchObject({ ok: 50, failed: 0, who: { [server.name]: 50 }, done: true });
    expect(report.latency.p50).toBeLessThanOrEqual(report.latency.max);
    const refused = await client.actor.load({ protocol: 'tcp', address: server.ipv4, port: 1, count: 5 });
    expect(await refused.finished()).toMatchObject({ ok: 0, failed: 5, errors: { ECONNREFUSED: 5 } });
  });

  it('go on with a load until it is stopped', async () => {
    const load = await client.actor.load({ protocol: 'udp', address: server.ipv4, port: 5000, rate: 200 });
    await poll('see answers', async () => (await load.report()).ok > 5);
    const { ok, failed, done } = await load.stop();
    expect([ok > 5, failed, done]).toEqual([true, 0, true]);
    expect((await load.report()).ok).toBe(ok);
  });

  it('stream an answer for as long as asked', async () => {
    const answer = await client.actor.http(server.ipv4, 80, { path: '/stream?ms=100&every=20' });
    expect(answer).toMatchObject({ ok: true, bytes: 5 });
    expect(answer.ms).toBeGreaterThanOrEqual(90);
  });

  it('fail the calls of an actor that is killed, and start anew with the next', async () => {
    const answer = client.actor.http(server.ipv4, 80, { path: '/slow?ms=5000' });
    const failed = expect(answer).rejects.toThrow(/http by node1-pod1: the actor ended/);
    await poll('see the request', async () => (await server.actor.openConnections()) > 0);
    await client.actor.close();
    await failed;
    expect((await client.actor.http(server.ipv4)).ok).toBe(true);
  });
});

it('reach a Unix socket of this machine at the address that the lab exposes', async () => {
  const lab = await createLab({ nodes: 1, podsPerNode: 1, externalClients: 0 });
  const socket = join(lab.directory, 'echo.sock');
  const local = createServer((peer) => peer.end('{"who":"outside"}\n')).listen(socket);
  try {
    await once(local, 'listening');
    const [host = '', port] = (await lab.expose(socket, 6443)).split(':');
    expect(await lab.node(1).actor.tcp(host, Number(port))).toMatchObject({ ok: true, who: 'outside' });
  } finally {
    local.close();
    await lab.destroy();
  }
});
