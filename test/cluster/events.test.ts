/** `sluice events` on a node that runs: what changed, what it came from, how long it took; also when the agent is dead. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { SCHEMA_VERSION } from '../../maps-schema/gen/codecs.ts';
import type { EventRow } from '../../src/cli/views/events.ts';
import type { PastPort } from '../../src/cli/views/past.ts';
import { sluiceJson } from '../support/cluster/kernel.ts';
import { type Agent, sluiceCommand } from '../support/lab/agent.ts';
import { type Cluster, startCluster } from '../support/lab/cluster.ts';
import { poll } from '../support/lab/poll.ts';
import type { SelectingService } from '../support/lab/slices.ts';

const service = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'web', namespace: 'default' },
  spec: { type: 'ClusterIP', selector: { app: 'web' }, ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
} as SelectingService;
const deployment = (replicas: number) => ({
  kind: 'Deployment',
  metadata: { name: 'web', namespace: 'default' },
  spec: {
    replicas,
    template: {
      metadata: { labels: { app: 'web' } },
      spec: { containers: [{ ports: [{ name: 'http', containerPort: 8080 }] }] },
    },
  },
});

let cluster: Cluster;
let agent: Agent;

beforeAll(async () => {
  cluster = await startCluster({ nodes: 1 });
  [agent] = (await cluster.startAgents({})) as [Agent];
});
afterAll(() => cluster?.destroy());

const node = () => cluster.lab.node(1);
const events = async (...words: string[]) =>
  (await sluiceJson<{ items: EventRow[] }>(node(), 'events', ...words)).items;
const pastAt = async (ms: number) =>
  (await sluiceJson<{ ports: PastPort[] }>(node(), 'events', '--at', new Date(ms).toISOString(), 'web')).ports;
/** The last event of web that says this. */
const seen = (text: RegExp) =>
  poll(`see an event that says ${text}`, async () =>
    (await events('web')).findLast(({ change }) => text.test(change)),
  ) as Promise<EventRow>;

it('what came into force, from which version of which object, and how long it took', async () => {
  await cluster.apply([service]);
  const added = await seen(/\(ClusterIP\) added/);
  const { metadata, spec } = await cluster.service('default', 'web');
  expect(added).toMatchObject({
    namespace: 'default',
    name: 'web',
    port: 'http',
    object: expect.stringContaining('default/web'),
    change: `frontend ${spec?.clusterIP}:80 (ClusterIP) added, serving none: refuse`,
  });
  expect(added.record).toMatchObject({
    by: expect.arrayContaining([{ kind: 'Service', name: 'default/web', version: metadata?.resourceVersion }]),
  });
  await cluster.apply([deployment(1)]);
  const joined = await seen(/^backend [\d.]+:8080 joined, serving none → 1$/);
  expect(joined).toMatchObject({ object: expect.stringMatching(/^EndpointSlice default\/web-/) });
  expect(joined.version).toMatch(/^\d+$/);
  expect(joined.agentMs).toBeGreaterThanOrEqual(0);
});

it('the map is for root alone', () => {
  expect(statSync(join(node().bpfRoot, `v${SCHEMA_VERSION}`, 'maps/history')).mode & 0o777).toBe(0o600);
});

it('is there when the agent was killed, and goes on with the next one: what it missed is told', async () => {
  const before = await events();
  const alive = Date.now();
  await agent.kill();
  expect(await events()).toEqual(before);
  const [was] = await pastAt(alive);
  expect(was).toMatchObject({ serving: { inside: 1 }, backends: [{ state: 'serving' }] });
  await cluster.apply([deployment(0)]);
  await poll('see the pod gone', async () => (await cluster.lab.node(1).pods).size === 0);
  [agent] = (await cluster.startAgents({})) as [Agent];
  const left = await seen(/left/);
  expect(left).toMatchObject({
    change: expect.stringMatching(/^backend .* left.*, serving 1 → none: refuse$/),
    object: '',
  });
  const after = await events();
  expect(after.slice(0, before.length)).toEqual(before);
  expect(after.filter(({ object }) => object === 'agent').map(({ record }) => record.kind)).toEqual(['start', 'start']);
  // As it was, from what is written down since.
  expect(await pastAt(alive)).toEqual([was]);
  expect(await pastAt(Date.now())).toMatchObject([{ serving: { inside: 0 }, backends: [] }]);
});

it('follows with -w, and says how a Service ended', async () => {
  const root = node().bpfRoot;
  await cluster.api.client.delete(await cluster.service('default', 'web'));
  await seen(/served no more$/);
  const { stdout, code } = await node().exec(sluiceCommand('events', 'web', '--limit', '1', '--bpf-root', root));
  expect(stdout).toMatch(/ \(gone\).* frontend [\d.]+:80 removed, served no more\n$/);
  expect(code).toBe(0);
  await agent.stop();
  expect((await events()).at(-1)?.change).toMatch(/ended; what is in force stays$/);
});
