/** Addresses of a ServiceCIDR that no Service has do not leak out by the default route. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Service } from '../../src/model/kubernetes.ts';
import { writeConfiguration } from '../support/cluster/configuration.ts';
import { sluiceJson } from '../support/cluster/kernel.ts';
import { sluiceCommand } from '../support/lab/agent.ts';
import { type Cluster, startCluster } from '../support/lab/cluster.ts';
import type { Host } from '../support/lab/host.ts';
import { poll } from '../support/lab/poll.ts';

/** No Service has them; a server of the world outside answers there, where packets must not come. */
const FREE = { IPv4: '10.96.200.200', IPv6: 'fd96::c8c8' } as const;
const FAMILIES = ['IPv4', 'IPv6'] as const;
const PORT = 8080;
let cluster: Cluster;

/** A process outside reaches the addresses by way of node1: here node2, which runs no agent. */
const clients = (): Host[] => [cluster.lab.pod(1, 'client'), cluster.lab.node(1), cluster.lab.node(2)];
const ask = (from: Host, address: string, timeoutMs = 700) => from.actor.http(address, PORT, { timeoutMs });
const dropped = async (): Promise<number> => {
  const { counters } = await sluiceJson<{ counters: { reason: string; packets: number }[] }>(
    cluster.lab.node(1),
    'status',
  );
  return counters.find(({ reason }) => reason === 'DROP_UNALLOCATED')?.packets ?? 0;
};
const setCidrs = (...cidrs: string[]) =>
  cluster.api.server.store.apply({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'ServiceCIDR',
    metadata: { name: 'kubernetes' },
    spec: { cidrs },
  });

describe.each(['all', 'host-only'] as const)('socket-lb %s', (socketLb) => {
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 2 });
    const { lab, api } = cluster;
    await lab.node(1).addPods(['client']);
    const outside = lab.client();
    await outside.actor.serve({ http: [PORT] });
    for (const family of FAMILIES) {
      await lab.route(lab.node(1).podCidrs[family], 'node1');
      const [host, world, node] =
        family === 'IPv4' ? ['/32', outside.ipv4, lab.node(1).ipv4] : ['/128', outside.ipv6, lab.node(1).ipv6];
      await outside.run(['ip', 'address', 'add', `${FREE[family]}${host}`, 'dev', 'lo']);
      await lab.net.run(['ip', 'route', 'replace', `${FREE[family]}${host}`, 'via', world, 'dev', 'clients']);
      await lab.node(2).run(['ip', 'route', 'replace', `${FREE[family]}${host}`, 'via', node, 'dev', 'eth0']);
    }
    const config = writeConfiguration(lab, { iptables: { minSyncPeriod: '0s' } });
    await lab.startAgent(1, { config, socketLb, kubeconfig: api.kubeconfig });
  });
  afterAll(() => cluster?.destroy());

  it('drops and counts what is sent there, and only while there is such a network (R-32)', async () => {
    const { lab } = cluster;
    setCidrs('10.100.0.0/16', 'fd97::/112');
    const from = clients();
    for (const family of FAMILIES)
      for (const client of from)
        await poll(`see ${FREE[family]} answer`, async () => (await ask(client, FREE[family])).ok);
    setCidrs('10.96.0.0/16', 'fd96::/108');
    const before = await dropped();
    for (const family of FAMILIES) {
      for (const client of from)
        await poll(`see ${FREE[family]} silent`, async () => (await ask(client, FREE[family])).errno === 'ETIMEDOUT');
    }
    expect(await dropped()).toBeGreaterThanOrEqual(before + from.length * FAMILIES.length);
    const text = await lab.node(1).run(sluiceCommand('status', '--bpf-root', lab.node(1).bpfRoot));
    expect(text).toMatch(/^cidrs: +10\.96\.0\.0\/16,fd96::\/108$/m);
  });

  it('a Service that takes the address is served there', async () => {
    const { lab, api } = cluster;
    const service = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'taken', namespace: 'default' },
      spec: { clusterIP: FREE.IPv4, clusterIPs: [FREE.IPv4], ports: [{ port: PORT }] },
    } as Service;
    await api.client.apply(service);
    await poll(
      'see it refused: it has no endpoints',
      async () => (await ask(lab.pod(1, 'client'), FREE.IPv4)).errno === 'ECONNREFUSED',
    );
    await api.client.delete(service);
    await poll(
      'see it silent again',
      async () => (await ask(lab.pod(1, 'client'), FREE.IPv4)).errno !== 'ECONNREFUSED',
    );
  });
});
