/**
 * The whole life of an agent with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON alone, no new privileges, on a root that is read only:
 * start, change, repair of rows and links and pins, a start over what is there, the end.
 */
import { readFileSync, rmSync } from 'node:fs';
import { release } from 'node:os';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openMaps } from '../../src/bpf/open-maps.ts';
import { pinDirectoryOf } from '../../src/bpf/paths.ts';
import { linkPins } from '../support/cluster/kernel.ts';
import { addressesOf, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import { type Agent, sluiceCommand } from '../support/lab/agent.ts';
import { run } from '../support/lab/command.ts';
import { poll } from '../support/lab/poll.ts';

const WEB = 11;
const LATE = 12;
/** Bits of CapBnd: NET_ADMIN, PERFMON, BPF; before 5.11 the memory of maps wants SYS_RESOURCE too. */
const BITS = [12, 38, 39, ...(Number(release().replace(/^(\d+)\.(\d+).*/, '$1.$2')) < 5.11 ? [24] : [])];

let rig: Rig;
let agent: Agent;

beforeAll(async () => {
  rig = await createRig({ nodes: 1, podsPerNode: 2 });
  rig.manifests.write('web.json', [service('web', WEB), ...slices('web', [rig.lab.pod(1, 1)])]);
  agent = await start();
});
afterAll(() => rig?.lab.destroy());

const node = () => rig.lab.node(1);

function confined(argv: readonly string[]): string[] {
  const names = ['+net_admin', '+perfmon', '+bpf', ...(BITS.length > 3 ? ['+sys_resource'] : [])];
  const rights = ['setpriv', `--bounding-set=${['-all', ...names].join()}`, '--inh-caps=-all', '--no-new-privs', '--'];
  const script = 'mount -o remount,bind,ro / && exec "$@"';
  return ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', ...rights, ...argv];
}

function start(): Promise<Agent> {
  const { manifests, config } = rig;
  const flags = ['--node-name', node().name, '--manifests', manifests.directory, '--config', config];
  const command = sluiceCommand('agent', ...flags, '--cgroup-root', node().cgroupRoot, '--bpf-root', node().bpfRoot);
  return rig.startAgent(1, { command: confined(command), timeoutMs: 60_000 });
}

const dials = async (n: number) => {
  const { clusterIp } = addressesOf(n);
  const [pod, host] = [rig.lab.pod(1, 2).actor, node().actor];
  return [(await pod.http(clusterIp.IPv6, 80)).ok, (await host.http(clusterIp.IPv4, 80)).ok];
};

const complaints = () =>
  agent.logs.filter(({ level, msg }) => Number(level) >= 40 || /EPERM|EROFS|EACCES|permission/i.test(msg ?? ''));

it('has these rights and no others, and starts without a complaint', async () => {
  // `exec` all the way: the process that was started is the agent.
  const status = readFileSync(`/proc/${agent.pid}/status`, 'utf8');
  const wanted = BITS.reduce((sum, bit) => sum | (1n << BigInt(bit)), 0n);
  for (const set of ['CapEff', 'CapBnd'])
    expect(BigInt(`0x${new RegExp(`^${set}:\\s+(\\w+)$`, 'm').exec(status)?.[1]}`), set).toBe(wanted);
  expect(status).toMatch(/^NoNewPrivs:\s+1$/m);
  expect(complaints()).toEqual([]);
  expect(await dials(WEB)).toEqual([true, true]);
});

it('puts changes in force', async () => {
  rig.manifests.write('late.json', [service('late', LATE), ...slices('late', [rig.lab.pod(1, 1)])]);
  await poll('reach it', async () => (await dials(LATE)).every(Boolean), { timeoutMs: 20_000 });
  expect(complaints()).toEqual([]);
});

it('repairs rows, links and pins', async () => {
  const seen = agent.logs.length;
  const maps = openMaps(pinDirectoryOf(node().bpfRoot));
  const row = maps.frontends.entries().next().value;
  if (row === undefined) throw new Error('there is no frontend');
  maps.frontends.delete(row.key);
  await run('bpftool', ['link', 'detach', 'pinned', linkPins(node()).cgroup_connect4 ?? '']);
  rmSync(linkPins(node()).cgroup_sendmsg4 ?? '');
  await poll('see the row put back', () => maps.frontends.lookup(row.key) !== undefined, { timeoutMs: 40_000 });
  maps.close();
  const told = (pattern: RegExp) => agent.logs.slice(seen).some(({ msg }) => pattern.test(msg ?? ''));
  await poll('see it told', () => told(/detached by somebody/) && told(/pins were gone: pinned again/));
  const { code, stdout } = await node().exec(sluiceCommand('verify', '--bpf-root', node().bpfRoot));
  expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
  expect(await dials(WEB)).toEqual([true, true]);
}, 90_000);

it('ends, and starts over what is there, also after it was killed', async () => {
  await agent.stop();
  expect(agent.exit?.code).toBe(0);
  expect(await dials(WEB)).toEqual([true, true]);
  agent = await start();
  await agent.kill();
  agent = await start();
  expect(complaints()).toEqual([]);
  expect(await dials(LATE)).toEqual([true, true]);
  await agent.stop();
  expect(agent.exit?.code).toBe(0);
}, 120_000);

it('its root is read only', async () => {
  const { code, stderr } = await node().exec(confined(['touch', '/etc/sluice-was-here']));
  expect([code, stderr]).toEqual([1, expect.stringMatching(/Read-only file system/)]);
});
