/**
 * XDP on the node's device, in its driver and behind it: clients outside reach backends on another node
 * without an skb, over both families, while agents restart and modes change; and an occupied hook is left alone.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compileObjects } from '../kernel/bpf/rig.ts';
import { sluiceJson } from '../support/cluster/kernel.ts';
import { addressesOf, nodePortOf, SERVICE_PORTS, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import { type Agent, sluiceCommand } from '../support/lab/agent.ts';
import { run } from '../support/lab/command.ts';
import { setOffload } from '../support/lab/ethtool.ts';
import { watchIprouteBpf } from '../support/lab/iproute-bpf.ts';
import { listLeftovers } from '../support/lab/leftovers.ts';
import { poll } from '../support/lab/poll.ts';

const FAR = 31;
const FAMILIES = ['IPv4', 'IPv6'] as const;
/** Passes packets on, and counts them. */
const PASS = `
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 1);
} passed SEC(".maps");
SEC("xdp") int pass(struct xdp_md *ctx)
{
	__u32 key = 0;
	__u64 *count = bpf_map_lookup_elem(&passed, &key);

	if (count)
		__sync_fetch_and_add(count, 1);
	return XDP_PASS;
}`;
let rig: Rig;
let objects: { readonly path: string; readonly remove: () => void };
let agents: Agent[] = [];

interface Status {
  readonly counters: readonly { readonly reason: string; readonly packets: number }[];
  readonly xdp: readonly { readonly device: string; readonly xdp: string; readonly why: string }[];
  readonly attachments: readonly { readonly hook: string; readonly state: string }[];
}
const status = () => sluiceJson<Status>(rig.lab.node(1), 'status');
const counted = async (reason: string) =>
  (await status()).counters.find((counter) => counter.reason === reason)?.packets ?? 0;
const xdpOf = async (device = 'eth0') => (await status()).xdp.find((row) => row.device === device);

/** Packets that the other program on node1's eth0 passed on. */
async function passedOn(): Promise<number> {
  const [link] = JSON.parse(await rig.lab.node(1).run(['ip', '-j', 'link', 'show', 'dev', 'eth0']));
  const [program] = [JSON.parse(await run('bpftool', ['-j', 'prog', 'show', 'id', String(link.xdp.prog.id)]))].flat();
  const [row] = JSON.parse(await run('bpftool', ['-j', 'map', 'dump', 'id', String(program.map_ids[0])]));
  return row.formatted?.value ?? row.value;
}

async function startWith(mode: string): Promise<void> {
  await Promise.all(agents.map((agent) => agent.stop()));
  agents = [];
  agents = await rig.startAgents({ extraArgs: ['--xdp', mode] });
}

/** The checksums of what a host sends are its own work, as on a wire: XDP leaves others to tc. */
function setChecksums(complete: boolean): void {
  const hosts = [
    rig.lab.client().netns,
    ...rig.lab.nodes.flatMap((node) => [...node.pods.values()].map((pod) => pod.netns)),
  ];
  for (const netns of hosts) setOffload(netns, 'eth0', 'tx-checksumming', !complete);
}

const removeIprouteBpf = watchIprouteBpf();

beforeAll(async () => {
  const { directory, remove } = compileObjects({ pass: PASS });
  objects = { path: `${directory}/pass.bpf.o`, remove };
  rig = await createRig({ podsPerNode: 1 });
  // A veth takes what XDP_TX sends to it only while it has an XDP program itself.
  const network = rig.lab.node(1).netns.replace(/node1$/, 'net');
  for (const { n } of rig.lab.nodes)
    await run('ip', ['-n', network, 'link', 'set', 'dev', `node${n}`, 'xdpdrv', 'obj', objects.path, 'sec', 'xdp']);
  rig.manifests.write('services.json', [service('far', FAR), ...slices('far', [rig.lab.pod(2, 1)])]);
});

afterAll(async () => {
  await Promise.all(agents.map((agent) => agent.stop()));
  await rig?.lab.destroy();
  objects?.remove();
  removeIprouteBpf();
  if (rig !== undefined) expect(listLeftovers(rig.lab.id)).toEqual([]);
});

describe.each(['native', 'generic'] as const)('--xdp %s', (mode) => {
  beforeAll(async () => {
    setChecksums(true);
    await startWith(mode);
  });

  it('is what sluice status and the log say', async () => {
    expect(await xdpOf()).toEqual({ device: 'eth0', xdp: mode, why: '' });
    expect((await status()).attachments).toContainEqual({
      program: 'xdp_ingress',
      hook: `xdp ${mode}`,
      target: 'eth0',
      state: 'attached',
    });
    expect(agents[0]?.logs.some(({ msg }) => msg === `XDP on eth0: ${mode}`)).toBe(true);
  });

  describe.each(FAMILIES)('%s', (family) => {
    const node = () => (family === 'IPv4' ? rig.lab.node(1).ipv4 : rig.lab.node(1).ipv6);
    const frontends = () =>
      [
        [addressesOf(FAR).balancerIp[family], SERVICE_PORTS.tcp, SERVICE_PORTS.udp],
        [node(), nodePortOf(FAR) + 100, nodePortOf(FAR)],
      ] as const;

    it('TCP: a long transfer goes there and back by XDP, bytes and checksums whole', async () => {
      for (const [address, port] of frontends()) {
        const conversation = await rig.lab.client().actor.open('tcp', address, port);
        const before = await counted('REDIRECTED_XDP');
        for (let i = 0; i < 5; i++)
          expect(await conversation.exchange({ bytes: 200_000, timeoutMs: 15_000 })).toMatchObject({ ok: true });
        await conversation.close();
        expect(await counted('REDIRECTED_XDP')).toBeGreaterThan(before + 100);
      }
    });

    it('UDP: datagrams are answered by way of XDP', async () => {
      const before = await counted('REDIRECTED_XDP');
      for (const [address, , port] of frontends()) {
        const conversation = await rig.lab.client().actor.open('udp', address, port);
        for (let i = 0; i < 10; i++)
          expect(await conversation.exchange({ timeoutMs: 5000 })).toMatchObject({ ok: true });
        await conversation.close();
      }
      expect(await counted('REDIRECTED_XDP')).toBeGreaterThan(before + 20);
    });
  });

  it('the agent restarts under load, and nothing is lost', async () => {
    const load = await rig.lab.client().actor.load({
      protocol: 'tcp',
      address: addressesOf(FAR).balancerIp.IPv4,
      port: SERVICE_PORTS.tcp,
      rate: 100,
      timeoutMs: 10_000,
    });
    await startWith(mode);
    const began = (await load.report()).ok;
    await poll('requests after the restart', async () => (await load.report()).ok > began + 50, { timeoutMs: 60_000 });
    expect(await load.stop()).toMatchObject({ failed: 0 });
  });

  it('checksums that a veth leaves to be filled in: tc carries the packets, nothing is lost', async () => {
    setChecksums(false);
    try {
      for (const family of FAMILIES) {
        const conversation = await rig.lab
          .client()
          .actor.open('tcp', addressesOf(FAR).balancerIp[family], SERVICE_PORTS.tcp);
        expect(await conversation.exchange({ bytes: 200_000, timeoutMs: 15_000 })).toMatchObject({ ok: true });
        await conversation.close();
      }
    } finally {
      setChecksums(true);
    }
  });
});

it('a connection goes on while the mode changes', async () => {
  await startWith('native');
  const conversation = await rig.lab.client().actor.open('tcp', addressesOf(FAR).balancerIp.IPv4, SERVICE_PORTS.tcp);
  for (const mode of ['generic', 'off', 'auto', 'native']) {
    await startWith(mode);
    expect((await xdpOf())?.xdp).toBe(mode === 'auto' ? 'off' : mode);
    expect(await conversation.exchange({ bytes: 50_000, timeoutMs: 15_000 })).toMatchObject({ ok: true });
  }
  await conversation.close();
});

it('auto leaves a veth alone, and says why', async () => {
  await startWith('auto');
  expect(await xdpOf()).toEqual({
    device: 'eth0',
    xdp: 'off',
    why: expect.stringContaining('network cards and bonds only'),
  });
});

it('a hook that another program holds is left to it, and tc carries the packets', async () => {
  await startWith('off');
  const node = rig.lab.node(1);
  try {
    await node.run(['ip', 'link', 'set', 'dev', 'eth0', 'xdpdrv', 'obj', objects.path, 'sec', 'xdp']);
    for (const mode of ['native', 'generic']) {
      await startWith(mode);
      expect(await xdpOf()).toEqual({ device: 'eth0', xdp: 'off', why: 'another XDP program is attached to it' });
      expect(await node.run(['ip', 'link', 'show', 'dev', 'eth0'])).toContain('prog/xdp');
      const before = await counted('REDIRECTED');
      const passed = await passedOn();
      const conversation = await rig.lab
        .client()
        .actor.open('tcp', addressesOf(FAR).balancerIp.IPv4, SERVICE_PORTS.tcp);
      expect(await conversation.exchange({ bytes: 50_000, timeoutMs: 15_000 })).toMatchObject({ ok: true });
      await conversation.close();
      expect(await counted('REDIRECTED')).toBeGreaterThan(before);
      expect(await passedOn()).toBeGreaterThan(passed);
    }
  } finally {
    await node.run(['ip', 'link', 'set', 'dev', 'eth0', 'xdpdrv', 'off']);
  }
});

it('sluice cleanup takes XDP off', async () => {
  await startWith('native');
  await Promise.all(agents.map((agent) => agent.stop()));
  agents = [];
  const node = rig.lab.node(1);
  await node.run(sluiceCommand('cleanup', '--bpf-root', node.bpfRoot));
  expect(await node.run(['ip', 'link', 'show', 'dev', 'eth0'])).not.toContain('prog/xdp');
});
