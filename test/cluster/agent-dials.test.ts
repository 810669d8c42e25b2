/** A Service with the API server's address and port takes nothing from the agent. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, it } from 'vitest';
import { writeConfiguration } from '../support/cluster/configuration.ts';
import type { Agent } from '../support/lab/agent.ts';
import { type Cluster, startCluster } from '../support/lab/cluster.ts';
import { poll } from '../support/lab/poll.ts';
import type { SelectingService } from '../support/lab/slices.ts';

let cluster: Cluster;
let agent: Agent;
let config: string;

function service(name: string, spec: object): SelectingService {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'default' },
    spec: {
      type: 'ClusterIP',
      selector: { app: 'web' },
      ports: [{ name: 'http', port: 80, targetPort: 'http' }],
      ...spec,
    },
  } as SelectingService;
}

/** Makes a Service and sees the agent serve it: it hears from the API server. */
async function expectHeard(name: string): Promise<void> {
  await cluster.apply([service(name, {})]);
  const address = (await cluster.service('default', name)).spec?.clusterIP ?? '';
  await poll(
    `see ${name} served`,
    async () => (await cluster.lab.node(1).actor.http(address, 80, { timeoutMs: 1000 })).ok,
    {
      timeoutMs: 60_000,
    },
  );
}

beforeAll(async () => {
  cluster = await startCluster({ nodes: 1 });
  config = writeConfiguration(cluster.lab, { iptables: { minSyncPeriod: '0s' } });
  agent = await cluster.lab.startAgent(1, {
    kubeconfig: cluster.api.kubeconfig,
    config,
    extraArgs: ['--allow-reserved-addresses'],
  });
  const ports = [{ name: 'http', containerPort: 8080 }];
  const template = { metadata: { labels: { app: 'web' } }, spec: { containers: [{ ports }] } };
  await cluster.apply([
    { kind: 'Deployment', metadata: { name: 'web', namespace: 'default' }, spec: { replicas: 1, template } } as {
      kind: string;
    },
  ]);
  await expectHeard('before');
});

afterAll(() => cluster?.destroy());

it('neither when the Service appears nor when the agent starts again (R-105)', async () => {
  const [, host = '', port = ''] =
    /server: "?https:\/\/\[?([^\]\s"]+?)\]?:(\d+)/.exec(readFileSync(cluster.api.kubeconfig, 'utf8')) ?? [];
  const thief = { externalIPs: [host], ports: [{ name: 'http', port: Number(port), targetPort: 'http' }] };
  await cluster.apply([service('thief', thief)]);
  // Every other process of the node is given to it.
  await poll(
    'see it served',
    async () => (await cluster.lab.node(1).actor.http(host, Number(port), { timeoutMs: 1000 })).ok,
  );
  await expectHeard('after');
  await agent.stop();
  agent = await cluster.lab.startAgent(1, {
    kubeconfig: cluster.api.kubeconfig,
    config,
    extraArgs: ['--allow-reserved-addresses'],
  });
  await expectHeard('again');
  await agent.kill();
  agent = await cluster.lab.startAgent(1, {
    kubeconfig: cluster.api.kubeconfig,
    config,
    extraArgs: ['--allow-reserved-addresses'],
  });
  await expectHeard('once-more');
});
