/**
 * The image that `make image` built, run as the chart's DaemonSet says on a node of the lab: it serves traffic, is killed, and is
 * upgraded to another image, under load. The rights that it has are those of the manifest, and each is needed.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { expectNoFailure, type Stream } from '../support/cluster/load.ts';
import { addressesOf, nodePortOf, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import { chart, REPOSITORY } from '../support/deploy/manifests.ts';
import { type Image, type PodContext, type PodSpec, podCommands } from '../support/deploy/pod.ts';
import type { Agent } from '../support/lab/agent.ts';
import { type LabApi, startLabApi } from '../support/lab/api.ts';
import { cgroupPids } from '../support/lab/cgroup.ts';
import { attempt, run } from '../support/lab/command.ts';
import type { LabNode } from '../support/lab/node.ts';
import { nodeObject } from '../support/lab/nodes.ts';

/** What tools/image/build.sh left, here or elsewhere. */
const BUILT = process.env.SLUICE_IMAGE ?? join(REPOSITORY, 'build/image');
const USER = 'system:serviceaccount:kube-system:sluice';
const WEB = 11;

const config = existsSync(join(BUILT, 'config.json'))
  ? JSON.parse(readFileSync(join(BUILT, 'config.json'), 'utf8')).config
  : undefined;
const image: Image = {
  root: join(BUILT, 'rootfs'),
  entrypoint: config?.Entrypoint ?? [],
  env: config?.Env ?? [],
};

it('is there', () => {
  if (config === undefined)
    throw new Error('find the image: build/image/config.json is missing; run "make image" first');
});

describe('the image', () => {
  const all = readdirSync(join(image.root, 'usr/bin')).concat(readdirSync(join(image.root, 'usr/sbin')));

  it('is under 250 MB, is labelled, and starts node without a shell', () => {
    expect(Number(readFileSync(join(BUILT, 'size'), 'utf8'))).toBeLessThan(250e6);
    expect(config.Labels).toMatchObject({
      'org.opencontainers.image.title': 'sluice',
      'org.opencontainers.image.licenses': 'Apache-2.0',
      'org.opencontainers.image.version': JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8')).version,
    });
    expect(config.Entrypoint[0]).toBe('/usr/bin/node');
    expect(config.User).toBe('0:0');
  });

  it('has no shell, no compiler, no package manager', () => {
    for (const name of ['sh', 'bash', 'dash', 'clang', 'gcc', 'cc', 'npm', 'npx', 'apt', 'apt-get', 'dpkg', 'perl'])
      expect(all, name).not.toContain(name);
  });

  it('has every program that the source starts', async () => {
    for (const name of ['node', 'ip', 'tc', 'setpriv', 'mount', 'bpftool', 'iptables-save', 'nft', 'ipset', 'sluice'])
      expect(all, name).toContain(name);
    expect(await run('chroot', [image.root, '/usr/bin/node', '--version'])).toMatch(/^v24\./);
    expect(await run('chroot', [image.root, '/usr/bin/sluice', '--version'])).toBe(
      `${config.Labels['org.opencontainers.image.version']}\n`,
    );
  });

  it('has no file that anybody may write, and none that raises rights', async () => {
    const found = await run('find', [
      image.root,
      '-xdev',
      '-type',
      'f',
      '(',
      '-perm',
      '-0002',
      '-o',
      '-perm',
      '/6000',
      ')',
    ]);
    expect(found).toBe('');
    expect(statSync(join(image.root, 'opt/sluice/sluice.cjs')).uid).toBe(0);
  });
});

describe('the DaemonSet', () => {
  let rig: Rig;
  let api: LabApi;
  let directory: string;
  let node: LabNode;
  let agent: Agent;
  // biome-ignore lint/suspicious/noExplicitAny: objects of every kind, read by path
  let objects: Record<string, any>;

  const bpfRoot = () => join(node.bpfRoot, 'sluice');

  function context(of: Image): PodContext {
    return {
      image: of,
      directory,
      hostPaths: {
        '/sys/fs/bpf': node.bpfRoot,
        '/sys/fs/cgroup': node.cgroupRoot,
        '/run/sluice': join(directory, 'run'),
        '/var/lib/sluice': join(directory, 'state'),
      },
      configMaps: { sluice: objects['ConfigMap kube-system/sluice'].data },
      serviceAccount: { token: api.server.token(USER), ca: api.server.ca },
      // A cluster address that nobody serves before the agent runs.
      env: { KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: '443' },
    };
  }

  const podSpec = (): PodSpec => objects['DaemonSet kube-system/sluice'].spec.template.spec;

  /** Runs the init containers, then the agent. @param change to the agent's capabilities */
  async function startPod(of: Image = image, change: (added: string[]) => string[] = (added) => added): Promise<Agent> {
    const pod = structuredClone(podSpec());
    const capabilities = pod.containers[0]?.securityContext?.capabilities as { add: string[] };
    capabilities.add = change(capabilities.add);
    const commands = podCommands(pod, node, context(of));
    for (const command of commands.slice(0, -1)) await node.run(command);
    return rig.lab.startAgent(node.name, { command: commands.at(-1) ?? [], timeoutMs: 60_000 });
  }

  beforeAll(async () => {
    rig = await createRig();
    node = rig.lab.node(1);
    // What containers mount stays below here, on a mount that hands nothing on but what a volume shares.
    directory = mkdtempSync(join(tmpdir(), 'sluice-pod-'));
    await run('mount', ['-t', 'tmpfs', 'tmpfs', directory]);
    await run('mount', ['--make-private', directory]);
    for (const name of ['run', 'state']) mkdirSync(join(directory, name));
    await run('mount', ['--bind', join(directory, 'run'), join(directory, 'run')]);
    await run('mount', ['--make-shared', join(directory, 'run')]);

    const values = join(directory, 'values.yaml');
    const server = rig.lab.net.ipv4;
    const settings = { mode: 'iptables', clusterCIDR: '10.244.0.0/16,fd44::/32', detectLocalMode: 'ClusterCIDR' };
    writeFileSync(values, stringify({ kubernetesServiceHost: server, kubernetesServicePort: 6443, config: settings }));
    objects = chart(values);
    api = await startLabApi(rig.lab, {
      validation: 'off',
      authorize: { [USER]: objects['ClusterRole /sluice'].rules },
    });
    for (const each of rig.lab.nodes) api.server.store.apply(nodeObject(each));
    for (const object of [service('web', WEB), ...slices('web', [rig.lab.pod(1, 1), rig.lab.pod(2, 1)])])
      api.server.store.apply(object);
    agent = await startPod();
  });

  afterAll(async () => {
    await rig?.lab.destroy();
    await api?.close();
    if (directory !== undefined) {
      await attempt('umount', ['-R', '-l', directory]);
      rmSync(directory, { recursive: true, force: true });
    }
  });

  function streams(): Stream[] {
    const { lab } = rig;
    const { clusterIp, balancerIp } = addressesOf(WEB);
    const http = { protocol: 'http', port: 80 } as const;
    return [
      { name: 'pod', from: lab.pod(1, 2), options: { ...http, address: clusterIp.IPv4 } },
      { name: 'pod, UDP', from: lab.pod(1, 2), options: { protocol: 'udp', port: 53, address: clusterIp.IPv6 } },
      { name: 'node', from: node, options: { ...http, address: clusterIp.IPv6 } },
      { name: 'outside', from: lab.client(), options: { protocol: 'http', port: nodePortOf(WEB), address: node.ipv4 } },
      { name: 'outside, kept', from: lab.client(), options: { ...http, address: balancerIp.IPv6, keepAlive: true } },
    ];
  }

  /** The process of the agent's container, as the machine numbers it. */
  function agentPid(): number {
    const found = cgroupPids(node.cgroupRoot).find((pid) => {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      return command.startsWith('/usr/bin/node') && command.includes('sluice.cjs');
    });
    if (found === undefined) throw new Error('find the agent: no process of it runs');
    return found;
  }

  const get = async (url: string) => (await node.run(['curl', '-fsS', url])).toString();

  it('serves traffic from pods, the node and outside', async () => {
    const answered = await expectNoFailure(streams(), async () => {});
    for (const who of Object.values(answered)) expect(Object.keys(who).length).toBeGreaterThan(0);
  });

  it('answers the probes at the paths and ports of the manifest', async () => {
    // biome-ignore lint/suspicious/noExplicitAny: as above
    const container = podSpec().containers[0] as any;
    for (const probe of ['livenessProbe', 'readinessProbe', 'startupProbe']) {
      const { path, port } = container[probe].httpGet;
      const { containerPort } = container.ports.find(({ name }: { name: string }) => name === port);
      expect(await get(`http://${node.ipv4}:${containerPort}${path}`), probe).toContain('currentTime');
    }
  });

  it('has the capabilities of the manifest and no other, and a root that it cannot write', async () => {
    const pid = agentPid();
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const mask = BigInt(`0x${/^CapEff:\s*(\S+)/m.exec(status)?.[1]}`);
    const numbers = { NET_ADMIN: 12n, SYS_ADMIN: 21n, SYS_RESOURCE: 24n, PERFMON: 38n, BPF: 39n } as Record<
      string,
      bigint
    >;
    const wanted = podSpec().containers[0]?.securityContext?.capabilities?.add ?? [];
    expect(mask).toBe(wanted.reduce((sum, name) => sum | (1n << (numbers[name] ?? 0n)), 0n));
    expect(readFileSync(`/proc/${pid}/mountinfo`, 'utf8')).toMatch(/ \/ ro[, ].* overlay /);
    expect(() => writeFileSync(`/proc/${pid}/root/opt/new`, '')).toThrow(/EROFS/);
  });

  it('is asked by the command line of the image, as kubectl exec does', async () => {
    const enter = ['-t', String(agentPid()), '-p', '-n', '-r', '-m', '/usr/bin/sluice'];
    expect(await run('nsenter', [...enter, 'service', 'list', '--bpf-root', '/sys/fs/bpf/sluice'])).toContain('web');
  });

  it('is killed, and the next one takes over; nothing is lost', async () => {
    await expectNoFailure(streams(), () => agent.kill());
    await expectNoFailure(streams(), async () => {
      agent = await startPod();
    });
    expect(agent.logs.find(({ msg }) => msg === 'synced')?.written).toMatchObject({ rows: 0 });
  });

  it('is upgraded to another image as a rolling update does it; nothing is lost', async () => {
    const next = join(directory, 'next');
    mkdirSync(join(next, 'opt/sluice'), { recursive: true });
    const bundle = readFileSync(join(image.root, 'opt/sluice/sluice.cjs'), 'utf8');
    const { version } = JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8'));
    writeFileSync(join(next, 'opt/sluice/sluice.cjs'), bundle.replaceAll(`"${version}"`, '"9.9.9"'));
    await expectNoFailure(streams(), async () => {
      await agent.stop();
      agent = await startPod({ ...image, root: `${next}:${image.root}` });
    });
    expect(agent.exit).toBeUndefined();
    expect(await get('http://127.0.0.1:10249/metrics')).toContain('version="9.9.9"');
  });

  describe('each capability is needed', () => {
    beforeEach(async () => {
      await agent.stop();
    });

    it.each(['BPF', 'NET_ADMIN', 'PERFMON'])('without %s it says so, and what is in force stays', async (name) => {
      const streamsGoOn = expectNoFailure(streams(), async () => {
        await expect(startPod(image, (added) => added.filter((each) => each !== name))).rejects.toThrow(`CAP_${name}`);
      });
      await streamsGoOn;
    });
  });

  it('leaves nothing on the node when it is cleaned up', async () => {
    await agent.stop();
    const pod = structuredClone(podSpec());
    Object.assign(pod.containers[0] as object, { args: ['cleanup', '--bpf-root=/sys/fs/bpf/sluice'] });
    for (const command of podCommands(pod, node, context(image))) await node.run(command);
    expect(existsSync(bpfRoot())).toBe(false);
  });
});
