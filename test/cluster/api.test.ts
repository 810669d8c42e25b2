/** With an API server: what changes there is in force here, and what fails there fails nothing here. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Service } from '../../src/model/kubernetes.ts';
import { writeConfiguration } from '../support/cluster/configuration.ts';
import { frontends, rowCounts } from '../support/cluster/kernel.ts';
import { expectNoFailure } from '../support/cluster/load.ts';
import type { Agent } from '../support/lab/agent.ts';
import { type Cluster, startCluster } from '../support/lab/cluster.ts';
import { listLeftovers } from '../support/lab/leftovers.ts';
import { poll } from '../support/lab/poll.ts';
import type { SelectingService } from '../support/lab/slices.ts';

const PORTS = [
  { name: 'http', port: 80, targetPort: 'http' },
  { name: 'udp', port: 53, targetPort: 'udp', protocol: 'UDP' },
] as const;

let cluster: Cluster;
let agents: Agent[];

function workload(name: string, replicas: number): { kind: string } {
  const ports = [
    { name: 'http', containerPort: 8080 },
    { name: 'udp', containerPort: 5353, protocol: 'UDP' },
  ];
  const template = { metadata: { labels: { app: name } }, spec: { containers: [{ ports }] } };
  return { kind: 'Deployment', metadata: { name, namespace: 'default' }, spec: { replicas, template } } as {
    kind: string;
  };
}

function service(name: string, spec: object = {}, labels: Record<string, string> = {}, app = 'web'): SelectingService {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'default', labels },
    spec: { type: 'ClusterIP', ipFamilyPolicy: 'RequireDualStack', selector: { app }, ports: [...PORTS], ...spec },
  } as SelectingService;
}

const get = (name: string): Promise<SelectingService> => cluster.service('default', name);
const client = () => cluster.lab.pod(1, 'client');
const addressOf = async (name: string): Promise<string> => (await get(name)).spec?.clusterIP ?? '';
const ask = (address: string) => client().actor.http(address, 80, { timeoutMs: 1000 });
const answers = (address: string) => poll(`see ${address} answer`, async () => (await ask(address)).ok);
const refuses = (address: string) => poll(`see ${address} not answer`, async () => !(await ask(address)).ok);

beforeAll(async () => {
  cluster = await startCluster({ nodes: 2 });
  const { lab } = cluster;
  await lab.node(1).addPods(['client']);
  // At once: a pod of the lab serves for a second after it was said to end, which is the default here.
  const config = writeConfiguration(lab, { iptables: { minSyncPeriod: '0s' } });
  agents = await cluster.startAgents({ config, socketLb: 'host-only' });
  await cluster.apply([workload('web', 3), service('web', { type: 'NodePort' })]);
  await answers(await addressOf('web'));
});

afterAll(async () => {
  await cluster?.destroy();
  if (cluster !== undefined) expect(listLeftovers(cluster.lab.id)).toEqual([]);
});

describe('Services', () => {
  it('are served from their creation to their deletion, and leave no row (R-17)', async () => {
    const node = cluster.lab.node(1);
    const before = await rowCounts(node);
    await cluster.apply([
      service('brief', {
        type: 'LoadBalancer',
        sessionAffinity: 'ClientIP',
        externalIPs: ['198.51.100.7', 'fd15::7'],
        loadBalancerSourceRanges: ['10.0.0.0/8', 'fd00::/8'],
      }),
    ]);
    const address = await addressOf('brief');
    await answers(address);
    expect((await rowCounts(node)).frontends).toBe((before.frontends ?? 0) + 4 * 4);
    await cluster.api.client.delete(await get('brief'));
    await refuses(address);
    await poll('see no row left', async () => {
      expect(await rowCounts(node)).toEqual(before);
      return true;
    });
  });

  it('change their type both ways, with no leftovers (R-16)', async () => {
    const node = cluster.lab.node(1);
    const typesOf = async () =>
      [
        ...new Set((await frontends(node)).filter(({ name }) => name === 'varied').flatMap(({ types }) => types)),
      ].sort();
    const before = await rowCounts(node);
    await cluster.apply([service('varied')]);
    const clusterIps = await typesOfWhen((types) => types.length === 1);
    await cluster.apply([service('varied', { type: 'NodePort' })]);
    const nodePorts = await typesOfWhen((types) => types.length === 2);
    await cluster.apply([service('varied', { type: 'LoadBalancer' })]);
    const balancers = await typesOfWhen((types) => types.length === 3);
    expect(clusterIps.every((type) => balancers.includes(type))).toBe(true);
    expect(nodePorts.every((type) => balancers.includes(type))).toBe(true);
    const { ports } = (await get('varied')).spec ?? {};
    const bare = ports?.map(({ nodePort: _, ...port }) => port);
    await cluster.apply([
      service('varied', { type: 'ClusterIP', ports: bare, allocateLoadBalancerNodePorts: undefined }),
    ]);
    expect(await typesOfWhen((types) => types.length === 1)).toEqual(clusterIps);
    await cluster.api.client.delete(await get('varied'));
    await poll('see no row left', async () => {
      expect(await rowCounts(node)).toEqual(before);
      return true;
    });

    function typesOfWhen(enough: (types: string[]) => boolean): Promise<string[]> {
      return poll('see the types of its frontends change', async () => {
        const types = await typesOf();
        return enough(types) && types;
      });
    }
  });

  it('change their port (R-16)', async () => {
    await cluster.apply([service('moved')]);
    const address = await addressOf('moved');
    await answers(address);
    await cluster.apply([service('moved', { ports: [{ name: 'web', port: 8000, targetPort: 'http' }] })]);
    await refuses(address);
    // The slices follow the Service: until then the new port has no endpoint.
    await poll('see port 8000 answer', async () => (await client().actor.http(address, 8000)).ok);
    await cluster.api.client.delete(await get('moved'));
  });

  it.each([
    ['service.kubernetes.io/service-proxy-name', 'another', 'R-2'],
    ['service.kubernetes.io/headless', '', 'R-3'],
  ])('are left to others while they carry %s', async (label, value, _rule) => {
    await cluster.apply([service('labelled')]);
    const address = await addressOf('labelled');
    await answers(address);
    await cluster.apply([service('labelled', {}, { [label]: value })]);
    if (label.endsWith('headless')) {
      // Its slices carry the label then, as the EndpointSlice controller writes them.
      for (const slice of await cluster.slices()) {
        if (slice.metadata?.labels?.['kubernetes.io/service-name'] !== 'labelled') continue;
        const labels = { ...slice.metadata.labels, [label]: value };
        const kind = { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice' };
        await cluster.api.client.apply({ ...slice, ...kind, metadata: { ...slice.metadata, labels } });
      }
    }
    await refuses(address);
    const current = await get('labelled');
    await cluster.api.client.delete(current);
    await poll(
      'see it gone',
      async () => !(await frontends(cluster.lab.node(1))).some(({ name }) => name === 'labelled'),
    );
    await cluster.apply([service('labelled', { clusterIP: address, clusterIPs: current.spec?.clusterIPs })]);
    await answers(address);
    await cluster.api.client.delete(await get('labelled'));
  });
});

it('scaling up and down under load fails no request', async () => {
  const { lab } = cluster;
  const { spec } = await get('web');
  const [v4 = '', v6 = ''] = spec?.clusterIPs ?? [];
  const nodePort = spec?.ports?.[0]?.nodePort ?? 0;
  const answered = await expectNoFailure(
    [
      { name: 'pod', from: client(), options: { protocol: 'http', address: v4, port: 80 } },
      { name: 'pod, UDP', from: client(), options: { protocol: 'udp', address: v6, port: 53 } },
      { name: 'node', from: lab.node(1), options: { protocol: 'http', address: v6, port: 80 } },
      { name: 'outside', from: lab.client(), options: { protocol: 'http', address: lab.node(2).ipv4, port: nodePort } },
      {
        name: 'kept',
        from: lab.client(),
        options: { protocol: 'http', address: lab.node(1).ipv6, port: nodePort, keepAlive: true },
      },
    ],
    async () => {
      await cluster.scale('web', 6);
      await poll('see the new pods', async () =>
        (await frontends(lab.node(1))).every(({ internal }) => internal.count === 6),
      );
      await cluster.scale('web', 2);
      await poll('see them gone', async () =>
        (await frontends(lab.node(1))).every(({ internal }) => internal.count === 2),
      );
    },
  );
  for (const name of ['pod', 'node', 'outside'])
    expect(Object.keys(answered[name] ?? {}).length, name).toBeGreaterThan(2);
});

it('an outage of the API server fails nothing, and what changed in it is made good (R-87)', async () => {
  const { api, lab } = cluster;
  await cluster.apply([service('gone'), service('stays')]);
  const [gone, stays] = [await addressOf('gone'), await addressOf('stays')];
  await answers(gone);
  await answers(stays);
  await expectNoFailure(
    [{ name: 'pod', from: client(), options: { protocol: 'http', address: stays, port: 80 } }],
    async () => {
      // Every request of the agents is refused, and their watches are cut.
      const faults = ['services', 'endpointslices', 'nodes'];
      for (const resource of faults) api.server.faults.failRequests(1e9, { resource, status: 503 });
      for (const resource of faults) api.server.faults.resetWatches(resource);
      const { store } = api.server;
      store.delete('Service', 'default', 'gone');
      store.apply(service('fresh'));
      for (const slice of store.list('EndpointSlice')) {
        const { namespace, labels } = slice.metadata;
        if (labels?.['kubernetes.io/service-name'] === 'gone')
          store.delete('EndpointSlice', namespace, slice.metadata.name);
      }
      // Nobody tells the agents: what was there is served on.
      expect((await ask(gone)).ok).toBe(true);
      api.server.faults.compact();
      api.server.faults.clear();
    },
  );
  await poll('see the deletion', async () => !(await ask(gone)).ok, { timeoutMs: 30_000 });
  const fresh = (api.server.store.get('Service', 'default', 'fresh') as Service).spec?.clusterIP ?? '';
  await poll(
    'see the new Service in the kernel',
    async () => (await frontends(lab.node(1))).some(({ address }) => address === fresh),
    { timeoutMs: 30_000 },
  );
  expect((await ask(stays)).ok).toBe(true);
});

it('a health check port that is taken is told by an event on the Service (R-78)', async () => {
  const { api, lab } = cluster;
  await lab.node(1).actor.serve({ http: [31_998] });
  await cluster.apply([
    service('checked', { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: 31_998 }),
  ]);
  const event = await poll('see the event', () =>
    api.server.store
      .list('Event.events.k8s.io')
      .find(({ reason, regarding }) => reason === 'FailedToStartServiceHealthcheck' && regarding?.name === 'checked'),
  );
  expect(event).toMatchObject({
    type: 'Warning',
    action: 'Listen',
    regarding: { kind: 'Service', namespace: 'default' },
  });
  expect(event.note).toMatch(/^node node1 failed to start healthcheck "default\/checked" on port 31998: /);
  await answers(await addressOf('checked'));
  await cluster.api.client.delete(await get('checked'));
});

it('asks for nothing that system:node-proxier may not (R-93)', () => {
  for (const agent of agents) {
    expect(agent.exit).toBeUndefined();
    const forbidden = agent.logs.filter((line) => JSON.stringify(line).includes('forbidden'));
    expect(forbidden).toEqual([]);
  }
});
