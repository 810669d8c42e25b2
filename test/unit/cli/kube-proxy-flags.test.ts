import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { logLevelOf } from '../../../src/cli/agent-options.ts';
import { KUBE_PROXY_FLAGS } from '../../../src/config/flags.ts';
import { loadSources } from '../../../src/config/sources.ts';
import { sluice } from './fake-kernel.ts';

const directory = mkdtempSync(join(tmpdir(), 'sluice-flags-'));
const config = join(directory, 'config.yaml');
writeFileSync(
  config,
  'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ipvs\nlogging: { verbosity: 1 }\n',
);
afterAll(() => rmSync(directory, { recursive: true }));

async function optionsOf(...args: string[]) {
  const { agent, err } = await sluice(['agent', ...args]);
  expect(err).toBe('');
  if (agent === undefined) throw new Error('the agent did not run');
  return agent;
}
const load = async (...args: string[]) => loadSources(await optionsOf(...args));

const VALUES = { text: '', number: '1', boolean: 'false', list: '', gates: 'A=true', modules: 'a=1' };
const textOf = (name: string, kind: keyof typeof VALUES) =>
  /period|timeout/.test(name) ? '1s' : name.endsWith('size') && kind === 'text' ? '64Ki' : VALUES[kind];

test.each(
  Object.entries(KUBE_PROXY_FLAGS).filter(([name]) => !['cleanup', 'config', 'kubeconfig'].includes(name)),
)('R-84: --%s is taken, and told of', async (name, { kind }) => {
  const { notes } = await load(`--${name}=${textOf(name, kind)}`);
  expect(notes.map(({ key }) => key.split('.')[0])).toContain(
    name === 'feature-gates' ? '--feature-gates' : `--${name}`,
  );
});

test("R-84: a stock DaemonSet's arguments", async () => {
  const options = await optionsOf(`--config=${config}`, '--hostname-override=Node-7', '--v=2');
  expect(options).toMatchObject({ configFile: config, nodeName: 'node-7', nodeNameGiven: true });
  expect(loadSources(options).configuration).toMatchObject({ mode: 'ipvs', verbosity: 2 });
});

test('R-84: with --config the flags of the log count, and those that write other keys do not', async () => {
  const flags = ['--proxy-mode=nftables', '--cluster-cidr=x', '--masquerade-all'];
  const { configuration, notes } = await load('--config', config, '-v', '5', ...flags);
  expect(configuration).toMatchObject({ mode: 'ipvs', verbosity: 5, masqueradeAll: false });
  for (const key of ['--proxy-mode', '--cluster-cidr', '--masquerade-all'])
    expect(notes).toContainEqual(expect.objectContaining({ key, why: expect.stringContaining('--config is given') }));
});

test('R-84: without --config the flags are the configuration', async () => {
  const args = ['--proxy-mode', 'iptables', '--cluster-cidr=10.0.0.0/8,fd00::/64', '--masquerade-all'];
  args.push('--nodeport-addresses=10.0.0.0/8', '--nodeport-addresses', '192.0.2.0/24,2001:db8::/32');
  args.push('--iptables-min-sync-period=2s', '--oom-score-adj', '-998', '--healthz-bind-address', '0.0.0.0:1');
  args.push('--feature-gates=A=true,B=false', '--vmodule=proxier=4', '--conntrack_max_per_core=0', '--logtostderr');
  const { configuration, warnings } = await load(...args);
  expect(warnings).toEqual([]);
  expect(configuration).toMatchObject({ masqueradeAll: true, minSyncPeriod: 2000, oomScoreAdj: -998 });
  expect(configuration.effective).toMatchObject({
    mode: 'iptables',
    clusterCIDR: '10.0.0.0/8,fd00::/64',
    nodePortAddresses: ['10.0.0.0/8', '192.0.2.0/24', '2001:db8::/32'],
    healthzBindAddress: '0.0.0.0:1',
    featureGates: { A: true, B: false },
    logging: { vmodule: [{ filePattern: 'proxier', verbosity: 4 }] },
    conntrack: { maxPerCore: 0 },
  });
});

test('R-84: flags for iptables count in mode nftables, as in kube-proxy', async () => {
  const { configuration } = await load('--proxy-mode=nftables', '--iptables-sync-period=5s', '--masquerade-all=true');
  expect(configuration).toMatchObject({ mode: 'nftables', syncPeriod: 5000, masqueradeAll: true });
});

test.each([['-v=3'], ['-v3'], ['-v', '3'], ['--v', '3']])('R-84: verbosity as %s %s', async (...args) => {
  expect((await load(...args)).configuration.verbosity).toBe(3);
});

test('R-84: a flag of yes or no takes no word that follows', async () => {
  expect(await optionsOf('--masquerade-all', 'in-cluster')).toMatchObject({
    source: { kind: 'in-cluster' },
    kubeProxyFlags: { 'masquerade-all': 'true' },
  });
});

test('R-84: empty values are as if not given', async () => {
  const options = await optionsOf('--hostname-override=', '--kubeconfig=', '--config=', '--master=');
  expect(options).toMatchObject({ nodeName: 'node-a.example', nodeNameGiven: false, source: { kind: 'in-cluster' } });
  expect(options).not.toHaveProperty('configFile');
  expect(options).not.toHaveProperty('master');
});

test('--node-name wins over --hostname-override; --master is kept', async () => {
  const args = ['--node-name=a', '--hostname-override=b', '--master=https://192.0.2.1'];
  expect(await optionsOf(...args)).toMatchObject({ nodeName: 'a', master: 'https://192.0.2.1' });
});

test.each([
  ['--masquerade-all=perhaps', "--masquerade-all: 'perhaps'"],
  ['--conntrack-min=many', "--conntrack-min: 'many'"],
  ['--feature-gates=A', "--feature-gates: 'A'"],
  ['--vmodule=a=b', "--vmodule: 'a=b'"],
])('R-84: %s is wrong usage', async (arg, message) => {
  const { code, err, agent } = await sluice(['agent', arg]);
  expect({ code, agent }).toEqual({ code: 2, agent: undefined });
  expect(err).toContain(message);
});

test('R-84: a value that makes no sense names its flag', async () => {
  const options = await optionsOf('--proxy-mode=userspace');
  expect(() => loadSources(options)).toThrow(/--proxy-mode "userspace"/);
});

test('--write-config-to writes the whole object, and starts nothing', async () => {
  const path = join(directory, 'written.yaml');
  const { code, agent } = await sluice(['agent', '--config', config, '--write-config-to', path]);
  expect({ code, agent }).toEqual({ code: 0, agent: undefined });
  expect(parse(readFileSync(path, 'utf8'))).toEqual(
    loadSources({ configFile: config, kubeProxyFlags: {}, strictConfig: false }).configuration.effective,
  );
  const refused = await sluice(['agent', '--config', config, '--write-config-to', directory]);
  expect(refused).toMatchObject({ code: 1, err: expect.stringContaining(directory) });
});

test('--version and --init-only start nothing', async () => {
  for (const flag of ['--version=true', '--version']) {
    const { code, out, agent } = await sluice(['agent', flag]);
    expect({ code, agent }, flag).toEqual({ code: 0, agent: undefined });
    expect(out).toMatch(/^\S+\n$/);
  }
  expect(await sluice(['agent', '--init-only'])).toMatchObject({ code: 0, agent: undefined });
});

test('--strict-config', async () => {
  const path = join(directory, 'unknown.yaml');
  writeFileSync(path, `${readFileSync(config, 'utf8')}metadata: {}\n`);
  expect((await load('--config', path)).warnings).toHaveLength(1);
  const strict = await optionsOf('--config', path, '--strict-config');
  expect(() => loadSources(strict)).toThrow(/metadata.*--strict-config/);
});

test('the level of the log follows the verbosity', () => {
  expect([0, 2, 3, 4, 5, 6, 10].map(logLevelOf)).toEqual(['info', 'info', 'info', 'debug', 'debug', 'trace', 'trace']);
});
