/** `kubectl sluice`: finds the pods with the real kubectl; what it runs in them is shown, since nothing here is a kubelet. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parse } from 'yaml';
import { type ApiServer, startApiServer } from '../support/apiserver/server.ts';
import { REPOSITORY } from '../support/deploy/manifests.ts';
import { attempt } from '../support/lab/command.ts';

const PLUGIN = join(REPOSITORY, 'deploy/kubectl/kubectl-sluice');

let directory: string;
let server: ApiServer;

const labels = { 'app.kubernetes.io/name': 'sluice', 'app.kubernetes.io/component': 'node-proxy' };
const pod = (name: string, nodeName: string, namespace = 'kube-system') => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace, labels },
  spec: { nodeName, containers: [{ name: 'agent', image: 'x' }] },
});

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'sluice-kubectl-'));
  server = await startApiServer({ validation: 'off' });
  await server.writeKubeconfig(join(directory, 'kubeconfig'));
  for (const each of [pod('sluice-b', 'node2'), pod('sluice-a', 'node1'), pod('other', 'node3', 'elsewhere')])
    server.store.apply(each);
  server.store.apply({ ...pod('dns', 'node1'), metadata: { name: 'dns', namespace: 'kube-system' } });
  const real = execFileSync('sh', ['-c', 'command -v kubectl'], { encoding: 'utf8' }).trim();
  // exec is written out; on node2 it ends with 4.
  writeFileSync(
    join(directory, 'kubectl'),
    `#!/bin/sh\ncase " $* " in *" exec sluice-b "*) echo "$@"; exit 4 ;; *" exec "*) echo "$@"; cat; exit 0 ;; esac\nexec ${real} "$@"\n`,
  );
  chmodSync(join(directory, 'kubectl'), 0o755);
});

afterAll(async () => {
  await server.close();
  rmSync(directory, { recursive: true, force: true });
});

const kubeconfig = () => ['--kubeconfig', join(directory, 'kubeconfig')];
const plugin = (...args: string[]) => attempt('env', [`PATH=${directory}:${process.env.PATH}`, 'sh', PLUGIN, ...args]);

it('runs on every node, by name, and ends with the greatest code', async () => {
  const { code, stdout, stderr } = await plugin(...kubeconfig(), 'service', 'list', '-o', 'wide');
  const lines = stdout.trim().split('\n');
  expect(lines.map((line) => line.replace(/.*exec /, ''))).toEqual([
    '== node1',
    'sluice-a --container agent -- sluice service list -o wide',
    '== node2',
    'sluice-b --container agent -- sluice service list -o wide',
  ]);
  expect(stderr).toBe('kubectl sluice: on node2 sluice ended with 4\n');
  expect(code).toBe(4);
});

it('runs on one node, without a heading', async () => {
  const { code, stdout } = await plugin(...kubeconfig(), '--node', 'node1', 'status');
  expect(stdout).toMatch(/^\S.* exec sluice-a --container agent -- sluice status\n$/);
  expect(code).toBe(0);
});

it('looks in another namespace', async () => {
  const { stdout } = await plugin(...kubeconfig(), '-n', 'elsewhere', 'status');
  expect(stdout).toContain('--namespace elsewhere exec other ');
});

it('says where there is none', async () => {
  const { code, stderr } = await plugin(...kubeconfig(), '--node=node9', 'status');
  expect(stderr).toMatch(/no pod of Sluice in namespace kube-system on node node9/);
  expect(code).toBe(3);
});

it.each([
  [[], /usage/],
  [['--nod', 'a', 'status'], /--nod is no option/],
  [['--node'], /--node needs a value/],
])('called wrongly: %j', async (args, message) => {
  const { code, stderr } = await plugin(...args);
  expect(stderr).toMatch(message);
  expect(code).toBe(2);
});

it('passes what comes after the command on as it is', async () => {
  const { stdout } = await plugin(...kubeconfig(), '--node=node1', 'drops', '--help');
  expect(stdout).toContain('-- sluice drops --help');
});

it('has a manifest for krew that names its one file', () => {
  const { spec, metadata } = parse(readFileSync(join(REPOSITORY, 'deploy/kubectl/sluice.yaml'), 'utf8'));
  const { version } = JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8'));
  expect(metadata.name).toBe('sluice');
  expect(spec.version).toBe(`v${version}`);
  for (const platform of spec.platforms) expect(platform).toMatchObject({ bin: 'kubectl-sluice' });
});

it('hands over the configuration of kube-proxy', async () => {
  const data = { 'config.conf': 'mode: nftables\n' };
  server.store.apply({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'kube-proxy', namespace: 'kube-system' },
    data,
  });
  const { stdout } = await plugin(...kubeconfig(), '--node=node1', '-n', 'kube-system', 'migrate', '--dry-run');
  expect(stdout).toMatch(
    /exec -i sluice-a --container agent -- sluice migrate --kube-proxy-config - --dry-run\nmode: nftables\n$/,
  );
  for (const own of [['--finish'], ['--back'], ['--kube-proxy-config', '/etc/x']])
    expect((await plugin(...kubeconfig(), '--node=node1', 'migrate', ...own)).stdout).toContain(
      `exec sluice-a --container agent -- sluice migrate ${own.join(' ')}\n`,
    );
  server.store.delete('ConfigMap', 'kube-system', 'kube-proxy');
  const { stdout: without } = await plugin(...kubeconfig(), '--node=node1', 'migrate');
  expect(without).toContain('exec sluice-a --container agent -- sluice migrate\n');
});

it('rolls back node by node: once the pod of kube-proxy is ready', async () => {
  const proxy = (nodeName: string) => {
    const name = `kube-proxy-${nodeName}`;
    const status = { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] };
    return {
      ...pod(name, nodeName),
      metadata: { name, namespace: 'kube-system', labels: { 'k8s-app': 'kube-proxy' } },
      status,
    };
  };
  for (const name of ['node1', 'node2']) {
    const taken = { name, labels: { 'sluice.io/kube-proxy': 'off' } };
    server.store.apply({ apiVersion: 'v1', kind: 'Node', metadata: taken });
    server.store.apply(proxy(name));
  }
  const { stdout, code } = await plugin(...kubeconfig(), '--node=node1', 'roll', '--back');
  const steps = stdout
    .trim()
    .split('\n')
    .map((line) => line.replace(/.*exec /, ''));
  expect(steps).toEqual([
    '== node1',
    'node/node1 unlabeled',
    'pod/kube-proxy-node1 condition met',
    'sluice-a --container agent -- sluice migrate --back',
  ]);
  expect(code).toBe(0);
  for (const name of ['node1', 'node2']) server.store.delete('Pod', 'kube-system', `kube-proxy-${name}`);
});

it('rolls node by node, and stops at the first that does not go through', async () => {
  server.store.apply({ apiVersion: 'v1', kind: 'Node', metadata: { name: 'node1' } });
  server.store.apply({ apiVersion: 'v1', kind: 'Node', metadata: { name: 'node2' } });
  const { code, stdout, stderr } = await plugin(...kubeconfig(), 'roll');
  const steps = stdout
    .trim()
    .split('\n')
    .map((line) => line.replace(/.*exec /, ''));
  expect(steps).toEqual([
    '== node1',
    'sluice-a --container agent -- sluice migrate',
    'node/node1 labeled',
    'sluice-a --container agent -- sluice migrate --finish --force',
    '== node2',
    'sluice-b --container agent -- sluice migrate',
  ]);
  expect(stderr).toContain('node2 did not go through; the nodes after it are as they were');
  expect(code).toBe(1);
  expect((await plugin(...kubeconfig(), 'roll', '--bakc')).code).toBe(2);
});
