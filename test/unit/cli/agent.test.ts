import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { nodeNameOf } from '../../../src/cli/agent-options.ts';
import { sluice } from './fake-kernel.ts';

const directory = mkdtempSync(join(tmpdir(), 'sluice-cli-'));
const file = join(directory, 'config.yaml');
writeFileSync(file, '');
afterAll(() => rmSync(directory, { recursive: true }));

test('without flags: in-cluster, and the defaults', async () => {
  const { code, agent } = await sluice(['agent']);
  expect(code).toBe(0);
  expect(agent).toEqual({
    nodeName: 'node-a.example',
    nodeNameGiven: false,
    source: { kind: 'in-cluster' },
    socketLb: 'all',
    watchPods: false,
    xdp: 'auto',
    respectNetfilter: false,
    standby: false,
    bpfRoot: '/sys/fs/bpf/sluice',
    bindProtection: true,
    meshPorts: [15001, 4140],
    forwarding: { mode: 'snat', encapsulation: 'geneve', genevePort: 6081, geneveVni: 0, watchNodes: false },
    externalAddresses: { refuseExternalIps: false, refuseNodeAddresses: false, allowReserved: false },
    budgets: { servicePercent: 25, namespacePercent: 80, essential: ['default/kubernetes', 'kube-system/*'] },
    strictConfig: false,
    kubeProxyFlags: {},
  });
});

test('--api-servers: names, addresses of both families, ports or not', async () => {
  const list = 'cp1, 192.0.2.1:443,[2001:db8::1],[2001:db8::2]:8443,https://lb.example/k8s,';
  expect((await sluice(['agent', '--api-servers', list])).agent?.apiServers).toEqual([
    'https://cp1:6443',
    'https://192.0.2.1:443',
    'https://[2001:db8::1]:6443',
    'https://[2001:db8::2]:8443',
    'https://lb.example/k8s',
  ]);
  const { code, err } = await sluice(['agent', '--api-servers', 'two words']);
  expect([code, err]).toEqual([2, expect.stringContaining("'two words' is no address")]);
});

test('--respect-netfilter does without XDP', async () => {
  expect((await sluice(['agent', '--respect-netfilter'])).agent).toMatchObject({ respectNetfilter: true, xdp: 'off' });
});

test('every flag', async () => {
  const words = [
    'agent',
    '--node-name',
    'Node-B',
    '--kubeconfig',
    file,
    '--config',
    file,
    '--devices',
    'eth0, eth1,eth0',
  ];
  words.push('--xdp', 'native', '--socket-lb', 'host-only', '--pod-devices', 'cali*,veth?', '--cgroup-root', directory);
  words.push(
    '--bpf-root',
    '/sys/fs/bpf/../bpf/other',
    '--bind-protection',
    'off',
    '--mesh-ports',
    '4143',
    '--log-level',
    'debug',
  );
  words.push(
    '--forwarding-mode',
    'hybrid',
    '--dsr-encapsulation',
    'ipip',
    '--geneve-port',
    '6082',
    '--geneve-vni',
    '7',
    '--watch-nodes',
    '--watch-pods',
    '--service-proxy-name',
    'sluice',
  );
  words.push('--refuse-external-ips', '--refuse-node-addresses', '--allow-reserved-addresses');
  words.push('--service-budget', '10', '--namespace-budget', '30', '--essential-services', 'a/b, dns/*');
  expect((await sluice(words)).agent).toEqual({
    nodeName: 'node-b',
    nodeNameGiven: true,
    source: { kind: 'kubeconfig', file },
    configFile: file,
    devices: ['eth0', 'eth1'],
    socketLb: 'host-only',
    standby: false,
    watchPods: true,
    xdp: 'native',
    respectNetfilter: false,
    podDevices: 'cali*,veth?',
    cgroupRoot: directory,
    bpfRoot: '/sys/fs/bpf/other',
    bindProtection: false,
    meshPorts: [4143],
    serviceProxyName: 'sluice',
    forwarding: { mode: 'hybrid', encapsulation: 'ipip', genevePort: 6082, geneveVni: 7, watchNodes: true },
    externalAddresses: { refuseExternalIps: true, refuseNodeAddresses: true, allowReserved: true },
    budgets: { servicePercent: 10, namespacePercent: 30, essential: ['a/b', 'dns/*'] },
    logLevel: 'debug',
    strictConfig: false,
    kubeProxyFlags: {},
  });
});

test('a directory of manifests', async () => {
  const { agent } = await sluice(['agent', '--manifests', directory]);
  expect(agent?.source).toEqual({ kind: 'manifests', directory });
});

test('in-cluster may be said', async () => {
  expect((await sluice(['agent', 'in-cluster'])).agent?.source).toEqual({ kind: 'in-cluster' });
});

test.each([
  [['--kubeconfig', '/no/such'], '--kubeconfig: /no/such: no such file'],
  [['--kubeconfig', directory], `--kubeconfig: ${directory} is not a file`],
  [['--manifests', file], `--manifests: ${file} is not a directory`],
  [['--respect-netfilter', '--xdp', 'native'], '--respect-netfilter and --xdp native exclude each other'],
  [['--respect-netfilter', '--forwarding-mode', 'dsr'], '--forwarding-mode dsr exclude each other'],
  [['--manifests', directory, '--kubeconfig', file], '--kubeconfig and --manifests exclude each other'],
  [['in-cluster', '--manifests', directory], '--manifests and in-cluster exclude each other'],
  [['--config', '/no/such'], '--config: /no/such: no such file'],
  [['--cgroup-root', file], `--cgroup-root: ${file} is not a directory`],
  [['--devices', 'eth0,,eth1'], "--devices: '' is no name of a device"],
  [['--devices', 'a-name-of-sixteen'], "--devices: 'a-name-of-sixteen'"],
  [['--pod-devices', 'veth*,'], '--pod-devices'],
  [['--forwarding-mode', 'DSR'], '--forwarding-mode'],
  [['--service-budget', '0'], '--service-budget'],
  [['--namespace-budget', '101'], '--namespace-budget'],
  [['--essential-services', 'kube-dns'], '--essential-services'],
  [['--geneve-port', '0'], "--geneve-port: '0' is not a number from 1 to 65535"],
  [['--geneve-vni', '1x'], "--geneve-vni: '1x' is not a number from 0 to 16777215"],
  [['--node-name', ' '], '--node-name: is empty'],
  [['--node-name', 'a b'], '--node-name'],
  [['--socket-lb', 'some'], '--socket-lb'],
  [['--bind-protection', 'maybe'], '--bind-protection'],
  [['--log-level', 'loud'], '--log-level'],
  [['--bpf-root', ''], '--bpf-root'],
  [['--device', 'eth0'], "unknown option '--device' (Did you mean --devices?)"],
  [['outside'], 'in-cluster'],
])('%j is wrong usage, named in one line', async (words, message) => {
  const { code, err, agent } = await sluice(['agent', ...words]);
  expect(code).toBe(2);
  expect(err).toContain(message);
  expect(err).toMatch(/^sluice: [^\n]+\n$/);
  expect(agent).toBeUndefined();
});

test('--cleanup cleans up and starts nothing', async () => {
  const roots: string[] = [];
  const removeEverything = (root: string) => {
    roots.push(root);
    return { links: 1, filters: 0, programs: 13, maps: 16, directories: [`${root}/v1`] };
  };
  const { code, out, agent } = await sluice(['agent', '--cleanup', '--bpf-root', '/b'], {
    agentHolds: () => false,
    removeEverything,
  });
  expect({ code, agent, roots }).toEqual({ code: 0, agent: undefined, roots: ['/b'] });
  expect(out).toBe('removed 1 link, 13 programs, 16 maps, /b/v1\n');
});

test('R-84: hostnameOverride counts when --node-name is absent', () => {
  expect(nodeNameOf({ nodeName: 'host', nodeNameGiven: false }, ' Other ')).toBe('other');
  expect(nodeNameOf({ nodeName: 'host', nodeNameGiven: false }, '')).toBe('host');
  expect(nodeNameOf({ nodeName: 'flag', nodeNameGiven: true }, 'other')).toBe('flag');
});
