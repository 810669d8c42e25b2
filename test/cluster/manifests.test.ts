/** Manifest files as people have them, by an agent and the kernel: each Service has the frontend and backends that a cluster would give it. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { sluiceJson } from '../support/cluster/kernel.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import type { Agent } from '../support/lab/agent.ts';
import { poll } from '../support/lab/poll.ts';

const service = (name: string, address: string, spec: string) =>
  `apiVersion: v1\nkind: Service\nmetadata: { name: ${name}, namespace: default }\nspec: { clusterIP: ${address}, ${spec} }\n`;
const slice = (version: string, service: string, rest: string) =>
  `---\napiVersion: discovery.k8s.io/${version}\nkind: EndpointSlice\nmetadata: { name: ${service}-a, namespace: default, labels: { kubernetes.io/service-name: ${service} } }\naddressType: IPv4\n${rest}\n`;
const json = (name: string, address: string) =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'default' },
    spec: { clusterIP: address, ports: [{ port: 80 }] },
  });
const pod = (name: string, ip: string, ready: string) =>
  `---\napiVersion: v1\nkind: Pod\nmetadata: { name: ${name}, namespace: default, labels: { app: shop } }\nspec: { nodeName: n, containers: [{ name: c, image: x, ports: [{ name: http, containerPort: 8080 }] }] }\nstatus: { phase: Running, podIP: ${ip}, podIPs: [{ ip: ${ip} }], conditions: [{ type: Ready, status: "${ready}" }] }\n`;

const FILES: Readonly<Record<string, string>> = {
  'duplicate-key.yaml': `${service('before', '10.96.7.6', 'ports: [{ port: 80 }]')}---\n${service('dup', '10.96.7.7', 'clusterIP: 10.96.7.8, ports: [{ port: 80 }]')}---\n${service('after', '10.96.7.9', 'ports: [{ port: 80 }]')}`,
  'endpoints.yaml': `${service('web', '10.96.7.1', 'ports: [{ port: 80, protocol: TCP }]')}---\napiVersion: v1\nkind: Endpoints\nmetadata: { name: web, namespace: default }\nsubsets: [{ addresses: [{ ip: 10.244.1.9 }], ports: [{ port: 8080, protocol: TCP }] }]\n`,
  'merge-key.yaml': service(
    'dns',
    '10.96.7.4',
    'ports: [&p { name: a, port: 53, protocol: UDP }, { <<: *p, name: b, port: 54 }]',
  ),
  'no-cluster-ip.yaml': `apiVersion: v1\nkind: Service\nmetadata: { name: none }\nspec: { ports: [{ port: 80 }] }\n---\n${service('good', '10.96.7.13', 'ports: [{ port: 80 }]')}`,
  'pods.yaml': `${service('shop', '10.96.7.2', 'selector: { app: shop }, ports: [{ port: 80, targetPort: http }]')}${pod('shop-1', '10.244.1.8', 'True')}${pod('shop-2', '10.244.1.7', 'False')}`,
  'port-without-name.yaml': `${service('plain', '10.96.7.5', 'ports: [{ port: 80 }]')}${slice('v1', 'plain', 'ports: [{ port: 8080 }]\nendpoints: [{ addresses: [10.244.1.5] }]')}`,
  'two-objects.json': `${json('one', '10.96.7.10')}\n${json('two', '10.96.7.11')}\n`,
  'v1beta1-slice.yaml': `${service('old', '10.96.7.3', 'ports: [{ port: 80 }]')}${slice('v1beta1', 'old', 'ports: [{ name: "", port: 8080, protocol: TCP }]\nendpoints: [{ addresses: [10.244.1.6], conditions: { ready: true }, topology: { kubernetes.io/hostname: n } }]')}`,
  'yaml11.yaml': `${service('eleven', '10.96.7.12', 'ports: [{ port: 0120 }]')}${slice('v1', 'eleven', 'ports: [{ name: "", port: 8080 }]\nendpoints: [{ addresses: [10.244.1.4], conditions: { ready: yes } }]')}`,
};

let rig: Rig;
let agent: Agent;

beforeAll(async () => {
  rig = await createRig({ nodes: 1, podsPerNode: 1 });
  for (const [name, text] of Object.entries(FILES)) rig.manifests.writeText(name, text);
  agent = await rig.startAgent(1);
});
afterAll(() => rig?.lab.destroy());

type Item = Record<string, string | number>;
const list = async (what: string) => (await sluiceJson<{ items: Item[] }>(rig.lab.node(1), what, 'list')).items;

it('frontends', async () => {
  const found = (await list('service')).map((row) => `${row.name} ${row.address}:${row.frontendPort}/${row.protocol}`);
  expect(found.sort()).toEqual([
    'after 10.96.7.9:80/TCP',
    'before 10.96.7.6:80/TCP',
    'dns 10.96.7.4:53/UDP',
    'dns 10.96.7.4:54/UDP',
    'dup 10.96.7.8:80/TCP',
    'eleven 10.96.7.12:80/TCP',
    'good 10.96.7.13:80/TCP',
    'old 10.96.7.3:80/TCP',
    'one 10.96.7.10:80/TCP',
    'plain 10.96.7.5:80/TCP',
    'shop 10.96.7.2:80/TCP',
    'two 10.96.7.11:80/TCP',
    'web 10.96.7.1:80/TCP',
  ]);
});

it('backends', async () => {
  const found = (await list('backend')).map((row) => `${row.name} ${row.address}:${row.backendPort}`);
  expect(found.sort()).toEqual([
    'eleven 10.244.1.4:8080',
    'old 10.244.1.6:8080',
    'plain 10.244.1.5:8080',
    'shop 10.244.1.8:8080',
    'web 10.244.1.9:8080',
  ]);
});

it('the log says what was not as meant, and what a change of a file did, a line each', async () => {
  const messages = () => agent.logs.map(({ msg }) => msg ?? '');
  expect(messages().filter((text) => text.includes('clusterIP'))).toEqual([
    expect.stringMatching(/duplicate-key\.yaml: line \d+: key clusterIP comes again: its last value counts$/),
    expect.stringMatching(/^Service default\/none has no spec\.clusterIP, .*: write /),
    'Service default/none: spec.clusterIP: is missing',
  ]);
  expect(messages()).toContain('read 9 files: 13 Service, 1 Endpoints, 2 Pod, 3 EndpointSlice');
  rig.manifests.writeText('two-objects.json', json('two', '10.96.7.21'));
  const line = 'two-objects.json changed: changed Service default/two; removed Service default/one';
  await poll('the line', () => messages().includes(line));
  expect(messages().filter((text) => text.includes('two-objects.json'))).toEqual([line]);
});
