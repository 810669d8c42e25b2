/** What comes to the node while the agent runs: pods, addresses; and the ports that it answers on itself. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addressesOf, nodePortOf, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig, serve } from '../support/cluster/rig.ts';
import { listLeftovers } from '../support/lab/leftovers.ts';
import { poll } from '../support/lab/poll.ts';

const WEB = 11;

describe.each(['bridge', 'routed'] as const)('%s pods', (cni) => {
  let rig: Rig;

  beforeAll(async () => {
    rig = await createRig({ cni, podsPerNode: 1 });
    const { lab, manifests } = rig;
    manifests.write('web.json', [service('web', WEB), ...slices('web', [lab.pod(1, 1), lab.pod(2, 1)])]);
    await rig.startAgent(1, { socketLb: 'host-only' });
  });

  afterAll(async () => {
    await rig?.lab.destroy();
    if (rig !== undefined) expect(listLeftovers(rig.lab.id)).toEqual([]);
  });

  it('a pod that came later is served as a client and as a backend', async () => {
    const { lab, manifests } = rig;
    const [late] = await lab.node(1).addPods(['late']);
    if (late === undefined) throw new Error('no pod');
    const { clusterIp } = addressesOf(WEB);
    for (const address of [clusterIp.IPv4, clusterIp.IPv6]) {
      await poll(`see ${address} answer`, async () => (await late.actor.http(address, 80, { timeoutMs: 500 })).ok);
      const udp = await late.actor.udp(address, 53);
      expect(udp).toMatchObject({ ok: true, peerAddress: address });
    }
    await serve(late);
    manifests.write('web.json', [service('web', WEB), ...slices('web', [late])]);
    const ask = () => lab.client().actor.http(lab.node(1).ipv6, nodePortOf(WEB));
    await poll('see it answer', async () => (await ask()).who === late.name);
    expect((await late.actor.http(clusterIp.IPv4, 80)).who).toBe(late.name);
    await lab.node(1).removePod('late');
    manifests.write('web.json', [service('web', WEB), ...slices('web', [lab.pod(1, 1), lab.pod(2, 1)])]);
    await poll('see the others answer', async () => (await ask()).ok);
  });

  it.each([
    'IPv4',
    'IPv6',
  ] as const)('NodePorts answer on a %s address from when it is added (R-54)', async (family) => {
    const { lab } = rig;
    const node = lab.node(1);
    const [address, length] = family === 'IPv4' ? ['172.30.0.111', 24] : ['fd30::111', 64];
    const ask = () => lab.client().actor.http(address, nodePortOf(WEB), { timeoutMs: 500 });
    expect((await ask()).ok).toBe(false);
    const nodad = family === 'IPv6' ? ['nodad'] : [];
    await node.run(['ip', 'address', 'add', `${address}/${length}`, 'dev', 'eth0', ...nodad]);
    const answer = await poll('see it answer', async () => {
      const probe = await ask();
      return probe.ok && probe;
    });
    expect(answer.peerAddress).toBe(address);
    const local = await node.actor.http(address, nodePortOf(WEB));
    expect(local).toMatchObject({ ok: true, peerAddress: address });
    await node.run(['ip', 'address', 'del', `${address}/${length}`, 'dev', 'eth0']);
    await poll('see it no longer answer', async () => !(await ask()).ok);
  });

  it('a route that changes is followed by connections there are', async () => {
    const { lab } = rig;
    const node = lab.node(1);
    // The pods of node2 by way of the router, and directly again.
    await lab.route('10.244.2.0/24', 'node2');
    const talk = await lab.client().actor.open('tcp', node.ipv4, nodePortOf(WEB) + 100);
    for (const via of ['172.30.0.254', lab.node(2).ipv4]) {
      await node.run(['ip', 'route', 'replace', '10.244.2.0/24', 'via', via, 'dev', 'eth0']);
      for (let i = 0; i < 3; i++) expect(await talk.exchange({ bytes: 10_000 })).toMatchObject({ ok: true });
      for (let i = 0; i < 6; i++) expect((await lab.client().actor.http(node.ipv4, nodePortOf(WEB))).ok).toBe(true);
    }
    await talk.close();
  });
});

describe('the agent itself', () => {
  let rig: Rig;

  beforeAll(async () => {
    rig = await createRig({ nodes: 1, podsPerNode: 1 });
    const { lab, manifests } = rig;
    const [local] = [lab.pod(1, 1)];
    manifests.write('web.json', [
      service('web', WEB),
      ...slices('web', [local]),
      service('checked', WEB + 1, { externalTrafficPolicy: 'Local', healthCheckNodePort: 31_999 }),
      ...slices('checked', [local]),
    ]);
    await rig.startAgent(1);
  });

  afterAll(() => rig?.lab.destroy());

  const get = async (url: string): Promise<[string, string]> => {
    const format = '\\n%{http_code}';
    const text = await rig.lab.node(1).run(['curl', '-gsS', '--max-time', '5', '-w', format, url]);
    const at = text.lastIndexOf('\n');
    return [text.slice(at + 1), text.slice(0, at)];
  };

  it('answers /healthz and /livez on 10256, on every address of the node (R-79, R-80)', async () => {
    for (const host of ['127.0.0.1', rig.lab.node(1).ipv4]) {
      for (const path of ['healthz', 'livez']) {
        const [code, body] = await get(`http://${host}:10256/${path}`);
        expect(code, `${path}: ${body}`).toBe('200');
        expect(JSON.parse(body)).toHaveProperty('lastUpdated');
      }
    }
    const outside = await rig.lab.client().exec(['curl', '-sf', `http://${rig.lab.node(1).ipv4}:10256/healthz`]);
    expect(outside.code).toBe(0);
  });

  it('answers /metrics and /proxyMode on 127.0.0.1:10249 alone (R-81, R-82)', async () => {
    const [code, metrics] = await get('http://127.0.0.1:10249/metrics');
    expect(code).toBe('200');
    for (const name of [
      'kubeproxy_sync_proxy_rules_duration_seconds_count',
      'kubeproxy_sync_proxy_rules_last_timestamp_seconds',
      'kubeproxy_network_programming_duration_seconds',
    ]) {
      expect(metrics).toContain(name);
    }
    expect((await get('http://127.0.0.1:10249/proxyMode'))[0]).toBe('200');
    const { code: refused } = await rig.lab
      .node(1)
      .exec(['curl', '-s', `http://${rig.lab.node(1).ipv4}:10249/metrics`]);
    expect(refused).toBe(7);
  });

  it('answers the health check node port of a Service (R-75, R-76)', async () => {
    const url = `http://${rig.lab.node(1).ipv4}:31999/`;
    const found = await rig.lab.client().exec(['curl', '-si', url]);
    expect(found.stdout).toMatch(/^HTTP\/1.1 200/);
    expect(found.stdout).toMatch(/x-load-balancing-endpoint-weight: 1/i);
    expect(found.stdout).toContain('"localEndpoints": 1');
    rig.manifests.write('web.json', [
      service('checked', WEB + 1, { externalTrafficPolicy: 'Local', healthCheckNodePort: 31_999 }),
      ...slices('checked', []),
    ]);
    await poll('see it fail', async () =>
      (await rig.lab.client().exec(['curl', '-si', url])).stdout.startsWith('HTTP/1.1 503'),
    );
  });
});
