/** What `sluice status` tells of the configuration of an agent that runs, and of one that was killed. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { AgentReport } from '../../src/model/agent-report.ts';
import type { Service } from '../../src/model/kubernetes.ts';
import { writeConfiguration } from '../support/cluster/configuration.ts';
import { sluiceJson } from '../support/cluster/kernel.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import { type Agent, sluiceCommand } from '../support/lab/agent.ts';
import { poll } from '../support/lab/poll.ts';

/** Keys of each kind: honoured, not needed, refused; and an empty one, as kubeadm writes them. */
const SETTINGS = {
  mode: 'iptables',
  oomScoreAdj: 100,
  enableProfiling: true,
  iptables: { masqueradeAll: true, masqueradeBit: 7, syncPeriod: '20s' },
  ipvs: { scheduler: 'lc' },
  portRange: '',
  conntrack: { tcpEstablishedTimeout: '1h', maxPerCore: 65_536 },
};

/** Keys with what became of them, as kube-proxy's file writes them. */
const FATES = {
  apiVersion: 'honoured',
  kind: 'honoured',
  mode: 'honoured',
  clusterCIDR: 'honoured',
  nodePortAddresses: 'honoured',
  oomScoreAdj: 'honoured',
  enableProfiling: 'refused',
  'iptables.masqueradeAll': 'honoured',
  'iptables.masqueradeBit': 'not needed',
  'iptables.syncPeriod': 'honoured',
  'ipvs.scheduler': 'not needed',
  'conntrack.tcpEstablishedTimeout': 'honoured',
  'conntrack.maxPerCore': 'not needed',
};

let rig: Rig;
let agent: Agent;
let config: string;

beforeAll(async () => {
  rig = await createRig({ nodes: 1, podsPerNode: 1 });
  config = writeConfiguration(rig.lab, SETTINGS, 'fates');
  agent = await rig.startAgent(1, { config });
});
afterAll(() => rig?.lab.destroy());

const status = (...words: string[]) => {
  const node = rig.lab.node(1);
  return node.exec(sluiceCommand('status', '--bpf-root', node.bpfRoot, ...words)).then(({ stdout }) => stdout);
};

/** The rows of the table of the configuration: key and disposition. */
async function shown(): Promise<Record<string, string>> {
  const lines = (await status()).split('\n');
  const table = lines.slice(lines.findIndex((line) => /^KEY +DISPOSITION +WHY/.test(line)) + 1);
  const rows = table.slice(0, table.indexOf(''));
  expect(rows.length).toBeGreaterThan(0);
  return Object.fromEntries(rows.map((row) => row.split(/ {2,}(?:! )?/).slice(0, 2) as [string, string]));
}

it('each key that is set, with its disposition, as in the log (R-85)', async () => {
  expect(await status()).toMatch(/^agent: +healthy/m);
  expect(await status()).toContain(`config:    ${config}\n`);
  expect(await shown()).toEqual(FATES);
  const logged = agent.logs.filter(({ msg, key }) => msg?.startsWith('configuration: ') && key !== undefined);
  expect(Object.fromEntries(logged.map(({ key, disposition }) => [key, disposition]))).toEqual(FATES);
});

it('keys that are empty with -o wide, and all in JSON (R-85)', async () => {
  expect(await status('-o', 'wide')).toMatch(/^portRange +not needed/m);
  const { report } = await sluiceJson<{ report: AgentReport }>(rig.lab.node(1), 'status');
  expect(report).toMatchObject({ node: 'node1', pid: agent.pid, configurationFile: config });
  const set = report.configuration.filter((note) => note.set);
  expect(Object.fromEntries(set.map(({ key, disposition }) => [key, disposition]))).toEqual(FATES);
});

it('the same when the agent was killed, until one with another configuration runs (R-85)', async () => {
  await agent.kill();
  expect(await status()).toMatch(/^agent: +! unreachable/m);
  expect(await shown()).toEqual(FATES);
  agent = await rig.startAgent(1);
  expect(await shown()).toEqual({
    apiVersion: 'honoured',
    kind: 'honoured',
    clusterCIDR: 'honoured',
    nodePortAddresses: 'honoured',
  });
});

const sluice = (...words: string[]) => {
  const node = rig.lab.node(1);
  return node.exec(sluiceCommand(...words, '--bpf-root', node.bpfRoot));
};

it('exit codes: 0 with a healthy agent, 1 with a dead one, also when another answers at its address', async () => {
  expect(await sluice('status')).toMatchObject({ code: 0 });
  await agent.kill();
  expect(await sluice('status')).toMatchObject({ code: 1 });
  const other = await rig.startAgent(1, { extraArgs: ['--bpf-root', `${rig.lab.node(1).bpfRoot}/other`] });
  const { code, stdout } = await sluice('status');
  expect(stdout).toMatch(/^agent: +! stopped \(what answers at its address is another one\)/m);
  expect(code).toBe(1);
  await other.stop();
  agent = await rig.startAgent(1);
});

it('asks the address that the configuration names', async () => {
  await agent.stop();
  agent = await rig.startAgent(1, {
    config: writeConfiguration(rig.lab, { healthzBindAddress: '127.0.0.1:12345' }, 'healthz'),
  });
  const { code, stdout } = await sluice('status');
  expect(stdout).toMatch(/^agent: +healthy {2}http:\/\/127\.0\.0\.1:12345\/healthz$/m);
  expect(code).toBe(0);
});

it('what was refused, and why; which addresses answer NodePorts', async () => {
  const bad = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'bad', namespace: 'shop' } };
  const service: Service = { ...bad, spec: { clusterIP: '10.96.0.999', ports: [{ port: 80 }] } };
  rig.manifests.write('bad.yaml', [service]);
  await poll('the refusal', async () =>
    (await sluice('service', 'problems', 'shop/bad')).stdout.includes('10.96.0.999'),
  );
  expect((await sluice('service', 'bad')).stderr).toMatch(
    /^sluice: Service shop\/bad: spec\.clusterIP.*10\.96\.0\.999/,
  );
  const { stdout } = await sluice('status');
  expect(stdout).toMatch(/^shop +Service +bad +spec\.clusterIP/m);
  expect(stdout).toMatch(/^nodeports: \d+\./m);
  rig.manifests.write('bad.yaml', []);
  await poll('it is gone', async () => (await sluice('service', 'problems')).stdout === '');
});

it('a full disk is one line and exit code 1', async () => {
  const node = rig.lab.node(1);
  for (const words of [['status'], ['drops', '-o', 'json'], ['--help'], ['version']]) {
    const command = [...sluiceCommand(...words), ...(words[0] === '--help' ? [] : ['--bpf-root', node.bpfRoot])];
    const { code, stderr } = await node.exec(['sh', '-c', '"$@" > /dev/full', 'sh', ...command]);
    expect(stderr).toBe('sluice: write the output: no space left on the device\n');
    expect(code).toBe(1);
  }
});
