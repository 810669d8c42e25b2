/** The agent dies, ends, comes back, comes back different: packets notice nothing (R-87…R-91). */
import { existsSync, readdirSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { writeConfiguration } from '../support/cluster/configuration.ts';
import {
  allIds,
  attachments,
  frontends,
  linkPins,
  pinnedIds,
  programsOf,
  rowCounts,
} from '../support/cluster/kernel.ts';
import { expectNoFailure, type Stream } from '../support/cluster/load.ts';
import { addressesOf, nodePortOf, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import { type Agent, sluiceCommand } from '../support/lab/agent.ts';
import { attempt } from '../support/lab/command.ts';
import { listLeftovers } from '../support/lab/leftovers.ts';
import { poll } from '../support/lab/poll.ts';
import type { Conversation } from '../support/traffic/actor.ts';

const WEB = 11;
const EXTRA = 12;
const CHANGED = 13;
const DELETED = 14;

let rig: Rig;
let agent: Agent;

const pods = () => [rig.lab.pod(1, 1), rig.lab.pod(2, 1)] as const;
const web = () => [service('web', WEB), ...slices('web', pods())];

beforeAll(async () => {
  rig = await createRig();
  rig.manifests.write('web.json', web());
  agent = await rig.startAgent(1, { socketLb: 'host-only' });
});

afterAll(async () => {
  await rig?.lab.destroy();
  if (rig !== undefined) expect(listLeftovers(rig.lab.id)).toEqual([]);
});

/** New connections and kept ones, from each kind of client, through node1. */
function streams(): Stream[] {
  const { lab } = rig;
  const { clusterIp, balancerIp } = addressesOf(WEB);
  const http = { protocol: 'http', port: 80 } as const;
  const node = { protocol: 'http', port: nodePortOf(WEB) } as const;
  return [
    { name: 'pod, new connections', from: lab.pod(1, 2), options: { ...http, address: clusterIp.IPv4 } },
    { name: 'pod, kept', from: lab.pod(1, 2), options: { ...http, address: clusterIp.IPv6, keepAlive: true } },
    { name: 'pod, UDP', from: lab.pod(1, 2), options: { protocol: 'udp', port: 53, address: clusterIp.IPv4 } },
    { name: 'node, new connections', from: lab.node(1), options: { ...http, address: clusterIp.IPv6 } },
    { name: 'node, kept', from: lab.node(1), options: { ...node, address: '127.0.0.1', keepAlive: true } },
    { name: 'outside, new connections', from: lab.client(), options: { ...node, address: lab.node(1).ipv4 } },
    { name: 'outside, kept', from: lab.client(), options: { ...http, address: balancerIp.IPv6, keepAlive: true } },
  ];
}

const restart = (options: Parameters<Rig['startAgent']>[1] = {}): Promise<Agent> => rig.startAgent(1, options);

/** What must be the same after a restart: the maps, the links, ids and extents. */
async function kernelState() {
  const { lab } = rig;
  const node = lab.node(1);
  return { maps: await pinnedIds(node, 'map'), links: await pinnedIds(node, 'link'), frontends: await frontends(node) };
}

const written = (of: Agent) => of.logs.find(({ msg }) => msg === 'synced')?.written as { rows: number };

describe.each(['host-only', 'all'] as const)('--socket-lb %s', (socketLb) => {
  let talks: Conversation[] = [];

  beforeAll(async () => {
    await agent.stop();
    agent = await restart({ socketLb });
    const { lab } = rig;
    const { clusterIp, balancerIp } = addressesOf(WEB);
    talks = await Promise.all([
      lab.pod(1, 2).actor.open('tcp', clusterIp.IPv4, 90),
      lab.node(1).actor.open('tcp', clusterIp.IPv6, 90),
      lab.client().actor.open('tcp', balancerIp.IPv4, 90),
      lab.client().actor.open('udp', lab.node(1).ipv6, nodePortOf(WEB)),
    ]);
  });

  afterAll(() => Promise.all(talks.map((talk) => talk.close())));

  async function expectTalksGoOn(): Promise<void> {
    for (const talk of talks) expect(await talk.exchange({ bytes: 1000 })).toMatchObject({ ok: true });
  }

  it('goes on when the agent is killed, and the next one adopts what is there (R-88)', async () => {
    const before = await kernelState();
    await expectNoFailure(streams(), async () => {
      await agent.kill();
      await expectTalksGoOn();
    });
    await expectNoFailure(streams(), async () => {
      agent = await restart({ socketLb });
    });
    await expectTalksGoOn();
    expect(written(agent).rows).toBe(0);
    expect(await kernelState()).toEqual(before);
  });

  it('ends within 5 s of SIGTERM and leaves the data path in force', async () => {
    await expectNoFailure(streams(), async () => {
      expect(await agent.stop()).toBeLessThan(5000);
      await expectTalksGoOn();
    });
    expect(agent.exit).toEqual({ code: 0, signal: null });
    agent = await restart({ socketLb });
    expect(written(agent).rows).toBe(0);
  });
});

describe('another configuration', () => {
  /** Kills the agent and starts it otherwise, under load. */
  async function takeOver(options: Parameters<Rig['startAgent']>[1]): Promise<void> {
    await expectNoFailure(streams(), async () => {
      await agent.kill();
      agent = await restart(options);
    });
  }
  const source = async () => (await rig.lab.pod(1, 2).actor.http(addressesOf(EXTRA).clusterIp.IPv4, 80)).seenSource;

  beforeAll(() => {
    rig.manifests.write('extra.json', [service('extra', EXTRA), ...slices('extra', [pods()[0]])]);
  });
  afterAll(() => rig.manifests.remove('extra.json'));

  it('takes over with pods served by the socket hook, and per packet again', async () => {
    await takeOver({ socketLb: 'all' });
    await takeOver({ socketLb: 'host-only' });
  });

  it('takes over with masqueradeAll (R-35)', async () => {
    await takeOver({ socketLb: 'host-only' });
    await poll('see the Service', async () => (await source()) !== undefined);
    expect(await source()).toBe(rig.lab.pod(1, 2).ipv4);
    const config = writeConfiguration(rig.lab, { iptables: { masqueradeAll: true } }, 'masquerade');
    await takeOver({ socketLb: 'host-only', config });
    expect(await source()).toBe('10.244.1.1');
    await takeOver({ socketLb: 'host-only' });
    expect(await source()).toBe(rig.lab.pod(1, 2).ipv4);
  });

  it('takes over with other nodePortAddresses (R-53)', async () => {
    const { lab } = rig;
    const ask = async (address: string) => (await lab.pod(1, 2).actor.http(address, nodePortOf(WEB))).errno;
    expect([await ask(lab.node(1).ipv4), await ask('10.244.1.1')]).toEqual([undefined, undefined]);
    const config = writeConfiguration(lab, { nodePortAddresses: ['172.30.0.0/16', '::/0'] }, 'node-ports');
    await takeOver({ socketLb: 'host-only', config });
    expect([await ask(lab.node(1).ipv4), await ask('10.244.1.1')]).toEqual([undefined, 'ECONNREFUSED']);
    await takeOver({ socketLb: 'host-only' });
    expect(await ask('10.244.1.1')).toBeUndefined();
  });
});

describe('what changed while the agent was down', () => {
  it('is in force after its start: additions, changes and deletions (R-87)', async () => {
    const { lab, manifests } = rig;
    const [near, far] = pods();
    await agent.stop();
    agent = await restart({ socketLb: 'host-only' });
    const before = await poll('see the names of former Services gone', async () => {
      const counts = await rowCounts(lab.node(1));
      return counts.service_ports === 6 && counts;
    });
    manifests.write('more.json', [
      service('changed', CHANGED),
      ...slices('changed', [near]),
      service('deleted', DELETED, { sessionAffinity: 'ClientIP', loadBalancerSourceRanges: ['10.0.0.0/8'] }),
      ...slices('deleted', [near, far]),
    ]);
    const ask = (n: number) => lab.pod(1, 2).actor.http(addressesOf(n).clusterIp.IPv4, 80);
    await poll('see the new Services', async () => (await ask(CHANGED)).ok && (await ask(DELETED)).ok);
    expect((await ask(CHANGED)).who).toBe(near.name);

    await agent.kill();
    manifests.write('more.json', [
      service('changed', CHANGED),
      ...slices('changed', [far]),
      service('added', EXTRA),
      ...slices('added', [near]),
    ]);
    expect((await ask(CHANGED)).who).toBe(near.name);
    agent = await restart({ socketLb: 'host-only' });
    expect((await ask(CHANGED)).who).toBe(far.name);
    expect((await ask(EXTRA)).who).toBe(near.name);
    expect((await ask(DELETED)).ok).toBe(false);
    expect((await frontends(lab.node(1))).map(({ name }) => name)).not.toContain('deleted');

    await agent.kill();
    manifests.remove('more.json');
    agent = await restart({ socketLb: 'host-only' });
    await poll('see no row left of them', async () => {
      expect(await rowCounts(lab.node(1))).toEqual(before);
      return true;
    });
  });
});

describe('its pins', () => {
  it('are of one agent: a second says who holds them', async () => {
    const second = await restart({ waitSynced: false });
    await poll('see it end', () => second.exit !== undefined);
    expect(second.exit?.code).toBe(1);
    const last = second.logs
      .map(({ msg }) => msg)
      .filter((msg) => msg !== undefined && !msg.startsWith('configuration'));
    expect(last).toEqual([expect.stringContaining(`process ${agent.pid} holds it`)]);
    expect(agent.exit).toBeUndefined();
  });

  it('lead back to links that someone else detached (R-91)', async () => {
    const { lab } = rig;
    await agent.stop();
    const config = writeConfiguration(lab, { iptables: { syncPeriod: '1s' } }, 'often');
    agent = await restart({ socketLb: 'host-only', config });
    const before = await attachments(lab.node(1));
    const links = await pinnedIds(lab.node(1), 'link');
    for (const pin of Object.values(linkPins(lab.node(1)))) {
      const { code, stderr } = await attempt('bpftool', ['link', 'detach', 'pinned', pin]);
      expect([code, stderr]).toEqual([0, '']);
    }
    await poll('see every program attached again', async () => {
      expect(await attachments(lab.node(1))).toEqual(before);
      const now = await pinnedIds(lab.node(1), 'link');
      return Object.entries(links).every(([name, id]) => now[name] !== id);
    });
    // Connections of before may have been answered without translation: that ended them.
    const anew = streams().filter(({ options }) => options.keepAlive !== true);
    await expectNoFailure(anew, async () => {});
  });

  it('come back with rows that someone else deleted', async () => {
    const { lab } = rig;
    const node = lab.node(1);
    const before = await frontends(node);
    const pin = Object.values(linkPins(node))[0]?.replace(/links\/.*/, 'maps/frontends') ?? '';
    const rows = JSON.parse((await attempt('bpftool', ['-j', 'map', 'dump', 'pinned', pin])).stdout) as {
      key: string[];
    }[];
    for (const { key } of rows) {
      const { code, stderr } = await attempt('bpftool', ['map', 'delete', 'pinned', pin, 'key', ...key]);
      expect([code, stderr]).toEqual([0, '']);
    }
    await poll('see the frontends again', async () => {
      expect(await frontends(node)).toEqual(before);
      return true;
    });
    await agent.waitForLog('the repair', ({ msg }) => msg?.includes('did not hold what it should') ?? false);
  });
});

describe('sluice cleanup', () => {
  beforeEach(async () => {
    if (agent.exit === undefined) await agent.stop();
  });

  it('leaves no program, pin, qdisc or directory (R-89)', async () => {
    const { lab } = rig;
    const node = lab.node(1);
    const kinds = ['link', 'prog', 'map'] as const;
    const links = Object.values(await pinnedIds(node, 'link'));
    const ours = [links, await programsOf(links), Object.values(await pinnedIds(node, 'map'))];
    expect(ours.map((ids) => ids.length > 0)).toEqual([true, true, true]);
    expect(await node.run(sluiceCommand('cleanup', '--bpf-root', node.bpfRoot))).toContain('removed');
    await poll('see them gone', async () => {
      const left = await Promise.all(
        kinds.map(async (kind, i) => {
          const all = await allIds(kind);
          return (ours[i] ?? []).filter((id) => all.has(id));
        }),
      );
      expect(left).toEqual([[], [], []]);
      return true;
    });
    expect(existsSync(node.bpfRoot) ? readdirSync(node.bpfRoot) : []).toEqual([]);
    expect(await node.run(['tc', 'qdisc', 'show'])).not.toContain('clsact');
    expect((await lab.client().actor.http(node.ipv4, nodePortOf(WEB))).errno).toBe('ECONNREFUSED');
    // Once more: nothing to do is no failure.
    await node.run(sluiceCommand('cleanup', '--bpf-root', node.bpfRoot));
  });

  it('is followed by an agent that starts afresh', async () => {
    const { lab } = rig;
    agent = await restart({ socketLb: 'host-only' });
    expect(written(agent).rows).toBeGreaterThan(0);
    expect((await lab.client().actor.http(lab.node(1).ipv4, nodePortOf(WEB))).ok).toBe(true);
  });
});
