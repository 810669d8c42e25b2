import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createLab, type Lab } from '../../support/lab/lab.ts';
import { listLeftovers } from '../../support/lab/leftovers.ts';

describe.each(['bridge', 'routed'] as const)('a lab whose pods hang on a %s', (cni) => {
  let lab: Lab;

  beforeAll(async () => {
    lab = await createLab({ nodes: 2, podsPerNode: 2, cni, rpFilter: 1 });
    await Promise.all(
      [lab.pod(1, 1), lab.pod(1, 2), lab.pod(2, 1), lab.node(1)].map((host) =>
        host.actor.serve({ http: [8080], tcp: [9000], udp: [5353] }),
      ),
    );
  });

  afterAll(async () => {
    await lab?.destroy();
    expect(listLeftovers(lab.id)).toEqual([]);
  });

  it.each([
    'ipv4',
    'ipv6',
  ] as const)('carries HTTP, TCP and UDP between pods of one node and of two over %s', async (family) => {
    const client = lab.pod(1, 1);
    for (const server of [lab.pod(1, 2), lab.pod(2, 1)]) {
      const seen = { ok: true, who: server.name, seenSource: client[family] };
      expect(await client.actor.http(server[family], 8080)).toMatchObject({ ...seen, status: 200 });
      expect(await client.actor.tcp(server[family], 9000)).toMatchObject({ ...seen, serverAddress: server[family] });
      expect(await client.actor.udp(server[family], 5353, { connected: false })).toMatchObject({ ...seen, bytes: 16 });
    }
  });

  it.each([
    'ipv4',
    'ipv6',
  ] as const)('lets the client outside reach a node through the router over %s', async (family) => {
    const client = lab.client();
    const answer = await client.actor.http(lab.node(1)[family], 8080);
    expect(answer).toMatchObject({ ok: true, who: 'node1', seenSource: client[family] });
    expect(await client.run(['ip', 'route', 'get', lab.node(1)[family]])).toContain(' via ');
  });

  it.each([
    'ipv4',
    'ipv6',
  ] as const)('keeps pods unknown to the router until they are routed over %s', async (family) => {
    const probe = () => lab.client().actor.http(lab.pod(2, 1)[family], 8080, { timeoutMs: 300 });
    expect((await probe()).ok).toBe(false);
    await lab.route(lab.node(2).podCidrs[family === 'ipv4' ? 'IPv4' : 'IPv6'], 'node2');
    expect(await probe()).toMatchObject({ ok: true, seenSource: lab.client()[family] });
  });

  it('says why nobody answered', async () => {
    const { actor } = lab.pod(1, 1);
    expect(await actor.tcp(lab.pod(2, 1).ipv4, 1)).toMatchObject({ ok: false, errno: 'ECONNREFUSED' });
    expect(await actor.udp(lab.pod(2, 1).ipv4, 1)).toMatchObject({ ok: false, errno: 'ECONNREFUSED' });
    expect(await actor.tcp('10.244.2.200', 1, { timeoutMs: 100 })).toMatchObject({ ok: false, errno: 'ETIMEDOUT' });
  });
});
