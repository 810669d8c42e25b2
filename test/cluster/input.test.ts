/** Bad input: an object, a flag, a configuration, a machine. One line says what is wrong; the rest is served. */
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KubernetesObject, Service } from '../../src/model/kubernetes.ts';
import { writeConfiguration } from '../support/cluster/configuration.ts';
import { addressesOf, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import { type Agent, sluiceCommand } from '../support/lab/agent.ts';
import { type LabApi, startLabApi } from '../support/lab/api.ts';
import type { CommandResult } from '../support/lab/host.ts';
import { listLeftovers } from '../support/lab/leftovers.ts';
import { poll } from '../support/lab/poll.ts';

const GOOD = 11;
const LATER = 12;
const THOUSAND = 13;

let rig: Rig;

beforeAll(async () => {
  rig = await createRig({ nodes: 1 });
});

afterAll(async () => {
  await rig?.lab.destroy();
  if (rig !== undefined) expect(listLeftovers(rig.lab.id)).toEqual([]);
});

/** An object whose fields take anything. */
type Loose = { spec: Record<string, unknown> & { ports: unknown }; status: unknown };

function changed(name: string, n: number, change: (service: Loose) => void): Service {
  const object = service(name, n);
  change(object as unknown as Loose);
  return object;
}

/** Objects that a server with validation would refuse, by the name that the log must give. */
function hostile(): Record<string, KubernetesObject[]> {
  const good = rig.lab.pod(1, 1);
  const garbage = [
    'not-an-address',
    '',
    '300.1.1.1',
    '::ffff:',
    '127.0.0.1',
    '0.0.0.0',
    'fe80::1',
    '224.0.0.1',
    ' 10.0.0.1',
  ];
  return {
    'bad-ip': [
      changed('bad-ip', 21, ({ spec }) => {
        spec.clusterIP = '10.96.0.999';
        spec.clusterIPs = ['10.96.0.999', 'nonsense'];
      }),
    ],
    'bad-port': [
      changed('bad-port', 22, ({ spec }) => {
        const [first, second, third] = spec.ports as object[];
        spec.ports = [{ ...first, port: 70_000 }, { ...second, nodePort: -5 }, third];
      }),
    ],
    'bad-types': [
      changed('bad-types', 23, (object) => {
        object.spec.ports = { not: 'a list' };
        object.spec.externalIPs = 'nor this';
        object.status = 17;
      }),
    ],
    'bad-slice': [
      ...slices('bad-slice', [good]).map((slice) => ({
        ...slice,
        ports: [{ name: 'http', port: 'eighty' as never, protocol: 'TCP' }, null as never],
      })),
      service('bad-slice', 24),
    ],
    thousand: [
      service('thousand', THOUSAND),
      ...slices('thousand', [good]).map((slice) => ({
        ...slice,
        endpoints: [
          ...Array.from({ length: 999 }, (_, i) => ({
            addresses: i % 7 === 0 ? (null as never) : [garbage[i % garbage.length] ?? ''],
            conditions: i % 5 === 0 ? ('?' as never) : { ready: true },
            nodeName: i % 3 === 0 ? (i as never) : 'node1',
          })),
          ...(slice.endpoints ?? []),
        ],
      })),
    ],
  };
}

/** A Service and a slice whose annotations are as large as the API server lets them be. */
function large(): KubernetesObject[] {
  const annotations = { note: 'x'.repeat(300 * 1024) };
  return [service('large', LATER + 10), ...slices('large', [rig.lab.pod(1, 1)])].map((object) => ({
    ...object,
    metadata: { ...object.metadata, annotations },
  }));
}

const ask = (n: number) => rig.lab.pod(1, 2).actor.http(addressesOf(n).clusterIp.IPv4, 80);
const textOf = (agent: Agent): string[] => agent.logs.map((line) => JSON.stringify(line));

/** What an agent must make of the hostile objects, wherever they came from. */
async function expectTheRestServed(agent: Agent, addLater: () => Promise<void> | void): Promise<void> {
  for (const name of Object.keys(hostile())) {
    await poll(`see ${name} in the log`, () => textOf(agent).some((line) => line.includes(`default/${name}`)));
  }
  expect((await ask(GOOD)).who).toBe(rig.lab.pod(1, 1).name);
  for (const n of [THOUSAND, LATER + 10]) expect((await ask(n)).who).toBe(rig.lab.pod(1, 1).name);
  const before = textOf(agent).filter((line) => line.includes('"level":40'));
  expect(new Set(before.map((line) => JSON.parse(line).msg)).size, before.join('\n')).toBe(before.length);
  expect(before.every((line) => line.length < 2000)).toBe(true);
  await addLater();
  await poll('see a later Service served', async () => (await ask(LATER)).ok);
  // Told once, not with every sync.
  expect(textOf(agent).filter((line) => line.includes('"level":40'))).toEqual(before);
  expect(agent.exit).toBeUndefined();
}

describe('hostile objects', () => {
  const rest = () => [service('good', GOOD), ...slices('good', [rig.lab.pod(1, 1)])];
  const later = () => [service('later', LATER), ...slices('later', [rig.lab.pod(1, 1)])];

  it('in manifests are told once by name, and the rest is served', async () => {
    const { manifests } = rig;
    manifests.write('good.json', rest());
    manifests.write('large.json', large());
    for (const [name, objects] of Object.entries(hostile())) manifests.write(`${name}.json`, objects);
    manifests.writeText('broken.yaml', 'apiVersion: v1\nkind: Service\n  metadata: [}\n');
    manifests.writeText('odd.yaml', '- 1\n- two\n---\nnull\n---\nkind: 7\n---\nkind: Service\nmetadata: 3\n');
    const agent = await rig.startAgent(1, { socketLb: 'host-only' });
    await expectTheRestServed(agent, () => manifests.write('later.json', later()));
    expect(textOf(agent).filter((line) => line.includes('broken.yaml'))).toHaveLength(1);
    // A file that is put right is taken.
    manifests.writeText('broken.yaml', JSON.stringify(service('mended', LATER + 1)));
    const refused = async () => (await ask(LATER + 1)).errno === 'ECONNREFUSED';
    await poll('see the Service of the mended file', refused);
    await agent.stop();
  });

  it('of an API server without validation are told once by name, and the rest is served', async () => {
    const api: LabApi = await startLabApi(rig.lab, { validation: 'off' });
    try {
      const { store } = api.server;
      for (const object of [...rest(), ...large(), ...Object.values(hostile()).flat()]) store.apply(object);
      const agent = await rig.startAgent(1, {
        kubeconfig: api.kubeconfig,
        manifests: undefined,
        socketLb: 'host-only',
      });
      await expectTheRestServed(agent, () => {
        for (const object of later()) store.apply(object);
      });
      await agent.stop();
    } finally {
      await api.close();
    }
  });
});

/** Runs `sluice agent` to its end, as root of the node unless a command before it says otherwise. */
async function refused(args: readonly string[], before: readonly string[] = []): Promise<CommandResult> {
  const { lab, manifests } = rig;
  const node = lab.node(1);
  const flags: Record<string, string> = {
    '--node-name': node.name,
    '--manifests': manifests.directory,
    '--cgroup-root': node.cgroupRoot,
    '--bpf-root': join(node.bpfRoot, 'other'),
  };
  for (let i = 0; i < args.length; i += 2) flags[args[i] ?? ''] = args[i + 1] ?? '';
  const all = Object.entries(flags).flatMap(([flag, value]) => (value === '-' ? [] : [flag, value]));
  const result = await node.exec([...before, ...sluiceCommand('agent', ...all)], { timeoutMs: 15_000 });
  expect(result.code, `it ran on:\n${result.stdout}`).not.toBe(-1);
  return result;
}

/** The line for people: the log's own lines are JSON. */
function expectOneLine({ stdout, stderr }: CommandResult, ...parts: string[]): void {
  const lines = stderr.split('\n').filter((line) => line !== '');
  expect(lines, stderr).toHaveLength(1);
  for (const part of parts) expect(lines[0]).toContain(part);
  for (const line of stdout.split('\n')) if (line !== '') expect(() => JSON.parse(line), line).not.toThrow();
}

describe('a wrong flag', () => {
  it.each([
    [['--socket-lb', 'some'], '--socket-lb'],
    [['--manifests', '/nonexistent'], '--manifests'],
    [['--kubeconfig', '/nonexistent', '--manifests', '-'], '--kubeconfig'],
    [['--config', '/nonexistent'], '--config'],
    [['--devices', 'eth0,,'], '--devices'],
    [['--devices', 'a/b'], '--devices'],
    [['--pod-devices', '/'], '--pod-devices'],
    [['--node-name', 'a b'], '--node-name'],
    [['--log-level', 'loud'], '--log-level'],
    [['--bpf-root', ''], '--bpf-root'],
    [['--cgroup-root', '/nonexistent'], '--cgroup-root'],
    [['--frobnicate', 'x'], '--frobnicate'],
  ])('%j is named, with exit code 2', async (args, named) => {
    const result = await refused(args);
    expect(result.code).toBe(2);
    expect(result.stderr.split('\n')[0]).toContain(named);
  });
});

describe('a wrong configuration', () => {
  it.each([
    ['a wrong type', { iptables: { syncPeriod: 'soon' } }, 'iptables.syncPeriod'],
    ['a wrong CIDR', { clusterCIDR: '10.0.0.0/99' }, 'clusterCIDR'],
    ['another kind', { kind: 'KubeletConfiguration' }, 'kind'],
    ['a wrong list', { nodePortAddresses: ['everywhere'] }, 'nodePortAddresses'],
  ])('%s: the key is named', async (_what, settings, key) => {
    const config = writeConfiguration(rig.lab, settings, 'wrong');
    const result = await refused(['--config', config]);
    expect(result.code).toBe(1);
    expectOneLine(result, key);
  });

  it('a file that is no YAML is named', async () => {
    const path = join(rig.lab.directory, 'no.yaml');
    writeFileSync(path, 'kind: [}\n');
    const result = await refused(['--config', path]);
    expect(result.code).toBe(1);
    expectOneLine(result, path);
  });
});

describe("kube-proxy's own arguments", () => {
  it("a stock DaemonSet's serve, with a warning for what kube-proxy warns of", async () => {
    const config = writeConfiguration(rig.lab, { udpIdleTimeout: '250ms', oomScoreAdj: 100 }, 'stock');
    const extraArgs = ['--hostname-override', rig.lab.node(1).name, '--v=2', '--proxy-mode=nftables'];
    const agent = await rig.startAgent(1, { config, extraArgs });
    expect((await ask(GOOD)).ok).toBe(true);
    expect(textOf(agent).filter((line) => line.includes('udpIdleTimeout'))).toHaveLength(1);
    await agent.stop();
  });

  it('older ones, without a file', async () => {
    const extraArgs = ['--proxy-mode=iptables', '--masquerade-all', '--nodeport-addresses=0.0.0.0/0,::/0', '--v=2'];
    extraArgs.push(
      '--iptables-min-sync-period=0s',
      '--healthz-bind-address=127.0.0.1:10256',
      '--cluster-cidr=10.244.0.0/16',
    );
    const agent = await rig.startAgent(1, { config: undefined, extraArgs });
    expect((await ask(GOOD)).ok).toBe(true);
    await agent.stop();
  });
});

describe('a machine that lacks something', () => {
  it('privileges: one line names the capabilities', async () => {
    const result = await refused(
      [],
      ['setpriv', '--bounding-set', '-all', '--inh-caps', '-all', '--reuid', '65534', '--clear-groups'],
    );
    expect(result.code).toBe(1);
    expectOneLine(result, 'CAP_NET_ADMIN', 'run as root');
  });

  it('one capability: one line names it', async () => {
    const result = await refused([], ['setpriv', '--bounding-set', '-net_admin', '--inh-caps', '-net_admin']);
    expect(result.code).toBe(1);
    expectOneLine(result, 'CAP_NET_ADMIN');
  });

  it('bpffs: one line says how to mount it', async () => {
    const directory = join(rig.lab.directory, 'plain');
    mkdirSync(directory);
    const result = await refused(['--bpf-root', directory]);
    expect(result.code).toBe(1);
    expectOneLine(result, directory, 'mount -t bpf');
  });

  it('cgroup v2: one line says what to choose', async () => {
    const directory = join(rig.lab.directory, 'no-cgroup');
    mkdirSync(directory);
    const result = await refused(['--cgroup-root', directory]);
    expect(result.code).toBe(1);
    expectOneLine(result, directory, '--cgroup-root');
    expect(existsSync(join(rig.lab.node(1).bpfRoot, 'other'))).toBe(false);
  });

  it('a kubeconfig that makes sense: one line names the file', async () => {
    const path = join(rig.lab.directory, 'bad.kubeconfig');
    writeFileSync(path, 'apiVersion: v1\nkind: Config\nclusters: 5\n');
    chmodSync(path, 0o600);
    const result = await refused(['--kubeconfig', path, '--manifests', '-']);
    expect(result.code).toBe(1);
    expectOneLine(result, path);
  });
});

it('a refused start leaves what runs untouched', async () => {
  const node = rig.lab.node(1);
  const agent = await rig.startAgent(1);
  expect((await ask(GOOD)).ok).toBe(true);
  const wrong = await refused(['--bpf-root', node.bpfRoot, '--cgroup-root', rig.lab.directory]);
  expect(wrong.code).toBe(1);
  expect((await ask(GOOD)).ok).toBe(true);
  expect(agent.exit).toBeUndefined();
  await agent.stop();
});
