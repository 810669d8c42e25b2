/** Manifest files as people have them: what kubectl and a cluster's controllers would make of each. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { createManifestSource } from '../../../src/kube/manifest-source.ts';
import { temporaryDirectory } from './fixture.ts';
import { createRecorder, type Recorder, until } from './recorder.ts';

async function read(files: Readonly<Record<string, string>>): Promise<Recorder> {
  const directory = await temporaryDirectory();
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text);
  const recorder = createRecorder();
  const controller = new AbortController();
  const running = createManifestSource({ directory, nodeName: 'n' }).run(recorder, controller.signal);
  onTestFinished(async () => {
    controller.abort();
    await running;
  });
  await until(() => recorder.syncs === 1);
  return recorder;
}

/** What slices say of a Service: `address:port`, `(name)` of a named port, `!` of one that is not ready. */
function backends(recorder: Recorder, service: string): string[] {
  return [...recorder.state.slices.values()]
    .filter(({ metadata }) => metadata?.labels?.['kubernetes.io/service-name'] === service)
    .flatMap(({ endpoints, ports }) =>
      (endpoints ?? []).flatMap(({ addresses, conditions }) =>
        (ports ?? []).map(
          ({ name, port }) =>
            `${addresses?.[0]}:${port}${name ? `(${name})` : ''}${conditions?.ready === false ? '!' : ''}`,
        ),
      ),
    )
    .sort();
}

const service = (name: string, spec: string) =>
  `apiVersion: v1\nkind: Service\nmetadata: { name: ${name} }\nspec: { clusterIP: 10.96.7.1, ${spec} }\n`;
const messages = (recorder: Recorder) => recorder.problems.map(({ message }) => message.replace(/^read \S+\//, ''));

it('Endpoints are mirrored where there is no slice, those not ready as such', async () => {
  const endpoints = (name: string, more = '') =>
    `---\napiVersion: v1\nkind: Endpoints\nmetadata: { name: ${name}${more} }\nsubsets:\n- addresses: [{ ip: 10.244.1.9 }, { ip: "fd00::9" }]\n  notReadyAddresses: [{ ip: 10.244.1.8 }]\n  ports: [{ port: 8080, protocol: TCP }]\n`;
  const recorder = await read({
    'a.yaml': `${service('web', 'ports: [{ port: 80 }]')}${endpoints('web')}`,
    'b.yaml': `${service('sliced', 'ports: [{ port: 80 }]')}${endpoints('sliced')}---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: { name: s, labels: { kubernetes.io/service-name: sliced } }\naddressType: IPv4\nports: [{ port: 1 }]\nendpoints: [{ addresses: [10.0.0.1] }]\n`,
    'c.yaml': `${service('skipped', 'ports: [{ port: 80 }]')}${endpoints('skipped', ', labels: { endpointslice.kubernetes.io/skip-mirror: "true" }')}`,
  });
  expect(backends(recorder, 'web')).toEqual(['10.244.1.8:8080!', '10.244.1.9:8080', 'fd00::9:8080']);
  expect([...recorder.state.slices.values()].map(({ addressType }) => addressType).sort()).toEqual([
    'IPv4',
    'IPv4',
    'IPv6',
  ]);
  expect(backends(recorder, 'sliced')).toEqual(['10.0.0.1:1']);
  expect(backends(recorder, 'skipped')).toEqual([]);
  expect(recorder.problems).toEqual([]);
});

it('Pods are selected where there is no slice: ports by name, phase, readiness', async () => {
  const pod = (name: string, ip: string, more: { ready?: string; phase?: string; port?: number; meta?: string } = {}) =>
    `---\napiVersion: v1\nkind: Pod\nmetadata: { name: ${name}, labels: { app: shop }${more.meta ?? ''} }\nspec: { nodeName: n, containers: [{ ports: [{ name: http, containerPort: ${more.port ?? 8080} }] }] }\nstatus: { phase: ${more.phase ?? 'Running'}, podIP: ${ip}, podIPs: [{ ip: ${ip} }], conditions: [{ type: Ready, status: "${more.ready ?? 'True'}" }] }\n`;
  const pods = [
    pod('one', '10.244.1.1'),
    pod('two', '10.244.1.2', { ready: 'False' }),
    pod('three', '10.244.1.3', { port: 9090 }),
    pod('four', '10.244.1.4', { phase: 'Failed' }),
    pod('five', '10.244.1.5', { meta: ', namespace: other' }),
    pod('six', '10.244.1.6', { meta: ', deletionTimestamp: 2026-01-01T00:00:00Z' }),
    '---\napiVersion: v1\nkind: Pod\nmetadata: { name: seven, labels: { app: shop } }\nspec: {}\n',
  ];
  const recorder = await read({
    'a.yaml': service('shop', 'selector: { app: shop }, ports: [{ port: 80, targetPort: http }]'),
    'b.yaml': service('early', 'selector: { app: shop }, publishNotReadyAddresses: true, ports: [{ port: 81 }]'),
    'c.yaml': `${service('nobody', 'selector: { app: other }, ports: [{ port: 80 }]')}${pods.join('')}`,
  });
  expect(backends(recorder, 'shop')).toEqual([
    '10.244.1.1:8080',
    '10.244.1.2:8080!',
    '10.244.1.3:9090',
    '10.244.1.6:8080!',
  ]);
  expect(backends(recorder, 'early')).toContain('10.244.1.2:81');
  expect(backends(recorder, 'nobody')).toEqual([]);
  const terminating = [...recorder.state.slices.values()].flatMap(({ endpoints }) => endpoints ?? []);
  expect(terminating.find(({ addresses }) => addresses?.[0] === '10.244.1.6')).toMatchObject({
    conditions: { ready: false, serving: true, terminating: true },
    nodeName: 'n',
  });
  expect(messages(recorder)).toEqual([
    expect.stringMatching(/^Pod default\/seven has no status\.podIP, .* Service default\/shop: write /),
    expect.stringMatching(/^Pod default\/seven .* Service default\/early: write /),
  ]);
});

it('a backend follows the Pod that changes', async () => {
  const directory = await temporaryDirectory();
  const pod = (status: string) =>
    writeFile(
      join(directory, 'pod.yaml'),
      `apiVersion: v1\nkind: Pod\nmetadata: { name: p, labels: { a: b } }\nspec: {}\nstatus: { phase: Running, podIP: 10.1.1.1, conditions: [{ type: Ready, status: "${status}" }] }\n`,
    );
  await writeFile(join(directory, 's.yaml'), service('s', 'selector: { a: b }, ports: [{ port: 80 }]'));
  await pod('True');
  const recorder = createRecorder();
  const controller = new AbortController();
  const watch = { settleMs: 10, rescanMs: 50 };
  const running = createManifestSource({ directory, nodeName: 'n', watch }).run(recorder, controller.signal);
  onTestFinished(async () => {
    controller.abort();
    await running;
  });
  await until(() => backends(recorder, 's')[0] === '10.1.1.1:80');
  await pod('False');
  await until(() => backends(recorder, 's')[0] === '10.1.1.1:80!');
  expect(recorder.notes.at(-1)).toBe('pod.yaml changed: changed Pod default/p');
});

it('slices of v1beta1 are read, with node and zone of their topology; other versions are told', async () => {
  const slice = (version: string, name: string) =>
    `apiVersion: discovery.k8s.io/${version}\nkind: EndpointSlice\nmetadata: { name: ${name}, labels: { kubernetes.io/service-name: old } }\naddressType: IPv4\nports: [{ name: "", port: 8080 }]\nendpoints: [{ addresses: [10.244.1.6], topology: { kubernetes.io/hostname: n, topology.kubernetes.io/zone: z } }]\n`;
  const recorder = await read({ 'a.yaml': `${slice('v1beta1', 'a')}---\n${slice('v1alpha1', 'b')}` });
  expect(recorder.state.slices.get('default/a')).toMatchObject({
    apiVersion: 'discovery.k8s.io/v1',
    endpoints: [{ nodeName: 'n', zone: 'z' }],
  });
  expect(messages(recorder)).toEqual([
    'a.yaml: line 8: EndpointSlice b is of discovery.k8s.io/v1alpha1, which is not read: write discovery.k8s.io/v1; it is passed over',
  ]);
});

it('merge keys, octal numbers and words of YAML 1.1; times stay text, and 10:30 is no number', async () => {
  const recorder = await read({
    'a.yaml':
      'apiVersion: v1\nkind: Service\nmetadata: { name: dns, creationTimestamp: 2026-01-01T00:00:00Z, annotations: { sluice.io/x: 10:30 } }\nspec:\n  clusterIP: 10.96.7.4\n  ports:\n    - &p { name: a, port: 0120, protocol: UDP }\n    - { <<: *p, name: b, port: 54 }\n',
    'b.yaml':
      'apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: { name: e }\naddressType: IPv4\nendpoints: [{ addresses: [10.244.1.4], conditions: { ready: no, serving: on } }]\n',
  });
  const dns = recorder.state.services.get('default/dns');
  expect(dns?.spec?.ports).toEqual([
    { name: 'a', port: 80, protocol: 'UDP' },
    { name: 'b', port: 54, protocol: 'UDP' },
  ]);
  expect(dns?.metadata).toMatchObject({
    creationTimestamp: '2026-01-01T00:00:00Z',
    annotations: { 'sluice.io/x': '10:30' },
  });
  expect(recorder.state.slices.get('default/e')?.endpoints?.[0]?.conditions).toEqual({ ready: false, serving: true });
  expect(recorder.problems).toEqual([]);
});

it('of a key that comes twice the last value counts, and it is told, in YAML and in JSON', async () => {
  const recorder = await read({
    'a.yaml': `${service('before', 'ports: []')}---\n${service('dup', 'clusterIP: 10.96.7.8, ports: []')}---\n${service('after', 'ports: []')}`,
    'b.json':
      '{"kind":"Service",\n"metadata":{"name":"j"},"spec":{"type":"NodePort",\n"type":"ClusterIP","clusterIP":"10.0.0.1","a":{"type":1}}}',
  });
  expect([...recorder.state.services.keys()].sort()).toEqual([
    'default/after',
    'default/before',
    'default/dup',
    'default/j',
  ]);
  expect(recorder.state.services.get('default/dup')?.spec?.clusterIP).toBe('10.96.7.8');
  expect(recorder.state.services.get('default/j')?.spec?.type).toBe('ClusterIP');
  expect(messages(recorder)).toEqual([
    'a.yaml: line 9: key clusterIP comes again: its last value counts',
    'b.json: line 3: key type comes again: its last value counts',
  ]);
});

it.each([
  ['several JSON objects in a file', 'a.json', (json: string[]) => json.join('\n')],
  ['JSON objects on one line', 'a.json', (json: string[]) => json.join(' ')],
  ['JSON objects parted as YAML documents', 'a.json', (json: string[]) => json.join('\n---\n')],
  ['JSON in a file of YAML', 'a.yaml', (json: string[]) => `---\n${json.join('\n')}`],
  ['a byte order mark', 'a.json', (json: string[]) => `\uFEFF${json.join('\n')}`],
  [
    'YAML in a file of JSON',
    'a.json',
    () => `# a comment\n${service('one', 'ports: []')}---\r\n${service('two', 'ports: []').replaceAll('\n', '\r\n')}`,
  ],
  [
    'flow YAML that looks like JSON',
    'a.json',
    () =>
      '{kind: Service, metadata: {name: one}, spec: {clusterIP: 10.0.0.1}}\n---\n{kind: Service, metadata: {name: two}, spec: {clusterIP: 10.0.0.2}}',
  ],
  [
    'directives, end markers, a mark and CRLF',
    'a.yaml',
    () =>
      `\uFEFF%YAML 1.1\r\n---\r\n${service('one', 'ports: []')}...\n--- # next\n${service('two', 'ports: []')}---\n`,
  ],
])('%s', async (_what, name, text) => {
  const json = ['one', 'two'].map((name) =>
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name },
      spec: { clusterIP: '10.96.7.10', note: 'a } in text' },
    }),
  );
  const recorder = await read({ [name]: text(json) });
  expect(recorder.problems).toEqual([]);
  expect([...recorder.state.services.keys()].sort()).toEqual(['default/one', 'default/two']);
});

it('one fault costs its document or item, not its file, and says which line, once', async () => {
  const recorder = await read({
    'a.yaml': [
      service('one', 'ports: []'),
      'kind: Service\nmetadata: [ {\n',
      service('two', 'ports: [{ port: {{ .Values.port }} }]'),
      'kind: Service\nspec: {}\n',
      service('three', 'ports: []'),
    ].join('---\n'),
    'b.json':
      '{"kind":"Service","metadata":{"name":"four"},"spec":{"clusterIP":"10.0.0.1"}}\n{"kind":"Service" "metadata":{}}\n{"kind":"Service","metadata":{"name":"five"},"spec":{"clusterIP":"10.0.0.1"}}',
    'c.yaml': 'kind: List\nitems: [ 7, { kind: Service, metadata: { name: six }, spec: { clusterIP: 10.0.0.1 } } ]\n',
  });
  expect([...recorder.state.services.keys()].sort()).toEqual(
    ['five', 'four', 'one', 'six', 'three'].map((name) => `default/${name}`),
  );
  expect(messages(recorder)).toEqual([
    expect.stringMatching(/^a\.yaml: line \d: [^\n]*; it is passed over$/),
    'a.yaml: line 12: a key is a list or an object; if this is a template, write what it becomes; it is passed over',
    'a.yaml: line 14: this Service has no metadata.name; it is passed over',
    expect.stringMatching(/^b\.json: line 2: [^\n]*; it is passed over$/),
    'c.yaml: line 1, items[0]: this is no object of Kubernetes, for it has no kind; it is passed over',
  ]);
  for (const message of messages(recorder))
    expect(message).not.toMatch(/ at (line|position) |\[object|parseAllDocuments|last good/);
});

it('a slice port without a name is the unnamed port', async () => {
  const recorder = await read({
    'a.yaml':
      'apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: { name: p }\naddressType: IPv4\nports: [{ port: 8080 }]\nendpoints: []\n',
  });
  expect(recorder.state.slices.get('default/p')?.ports).toEqual([{ name: '', port: 8080 }]);
});

it('what an API server would allot is told, with what to write', async () => {
  const recorder = await read({
    'a.yaml':
      'kind: Service\nmetadata: { name: none }\nspec: { ports: [{ port: 80 }] }\n---\nkind: Service\nmetadata: { name: ext }\nspec: { type: ExternalName }\n',
    'b.yaml': service('np', 'type: NodePort, ports: [{ port: 80 }]'),
  });
  expect(messages(recorder)).toEqual([
    expect.stringMatching(/^Service default\/none has no spec\.clusterIP, .*write .*"clusterIP: 10\./),
    expect.stringMatching(/^Service default\/np is of type NodePort .*write .*"nodePort: 30080"/),
  ]);
});

it("kinds of somebody else's API are passed over, and counted", async () => {
  const recorder = await read({
    'a.yaml': 'apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: { name: k }\n',
  });
  expect(recorder.problems).toEqual([]);
  expect(recorder.notes).toEqual(['read 1 files: no object; of no use here: 1 Service of serving.knative.dev/v1']);
});
