/** What somebody does to the data path beside the agent's back: found within a second or so, told, counted, put right. */
import { readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { AgentReport } from '../../src/model/agent-report.ts';
import { attachments, linkPins, pinnedIds, sluiceJson } from '../support/cluster/kernel.ts';
import { expectNoFailure, type Stream } from '../support/cluster/load.ts';
import { scrape } from '../support/cluster/metrics.ts';
import { addressesOf, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import { type Agent, sluiceCommand } from '../support/lab/agent.ts';
import { run } from '../support/lab/command.ts';
import { poll } from '../support/lab/poll.ts';

const WEB = 11;
/** Milliseconds in which a look every second has found what it looks for, on a busy machine. */
const SOON = 8000;

let rig: Rig;
let agent: Agent;

beforeAll(async () => {
  rig = await createRig({ nodes: 1, podsPerNode: 3 });
  const pods = [rig.lab.pod(1, 1), rig.lab.pod(1, 3)];
  rig.manifests.write('web.json', [service('web', WEB), ...slices('web', pods)]);
  agent = await rig.startAgent(1, { socketLb: 'host-only', timeoutMs: 60_000 });
});
afterAll(() => rig?.lab.destroy());

const node = () => rig.lab.node(1);
const maps = () => join(dirname(dirname(Object.values(linkPins(node()))[0] ?? '')), 'maps');
const status = () => sluiceJson<{ report: AgentReport }>(node(), 'status');

const linkCount = () => Object.keys(linkPins(node())).length;

/** New connections from a pod, which is served per packet, and from the node, which the socket hook serves. */
function streams(): Stream[] {
  const { clusterIp } = addressesOf(WEB);
  const http = { protocol: 'http', port: 80 } as const;
  return [
    { name: 'pod', from: rig.lab.pod(1, 2), options: { ...http, address: clusterIp.IPv4 } },
    { name: 'pod, kept', from: rig.lab.pod(1, 2), options: { ...http, address: clusterIp.IPv6, keepAlive: true } },
    { name: 'node', from: node(), options: { ...http, address: clusterIp.IPv6 } },
  ];
}

const waitFor = (what: string, pattern: RegExp, from: number) =>
  poll(`see ${what}`, () => agent.logs.slice(from).find(({ msg }) => pattern.test(msg ?? '')), { timeoutMs: SOON });

async function bytesOf(map: string): Promise<string> {
  const rows = JSON.parse(await run('bpftool', ['-j', 'map', 'dump', 'pinned', join(maps(), map)])) as {
    value: string[];
  }[];
  return rows.map(({ value }) => value.join('')).join();
}

/** Overwrites the only row of an array. */
async function zero(map: string): Promise<void> {
  const path = join(maps(), map);
  const { bytes_value: size } = JSON.parse(await run('bpftool', ['-j', 'map', 'show', 'pinned', path]));
  const zeros = Array.from({ length: size }, () => '0');
  await run('bpftool', ['map', 'update', 'pinned', path, 'key', '0', '0', '0', '0', 'value', ...zeros]);
}

it('attaches again what was detached, says so and counts it', async () => {
  const seen = agent.logs.length;
  const before = await attachments(node());
  const [[name, pin] = ['', '']] = Object.entries(linkPins(node())).filter(([link]) => link.endsWith('_ingress'));
  const connect = linkPins(node()).cgroup_connect4 ?? '';
  for (const path of [pin, connect]) await run('bpftool', ['link', 'detach', 'pinned', path]);
  const line = await waitFor('it told', /detached by somebody/, seen);
  expect(line.links).toEqual(expect.arrayContaining([expect.any(String)]));
  await poll('see it attached again', async () => JSON.stringify(await attachments(node())) === JSON.stringify(before));
  expect((await scrape(node())).value('sluice_links_lost_total')).toBe(2);
  expect(name).toMatch(/^dev\d+_ingress$/);
});

it('takes a device that goes away for no fault', async () => {
  const seen = agent.logs.length;
  const before = linkCount();
  await node().addPods(['short']);
  await poll('see it attached', () => linkCount() === before + 2, { timeoutMs: SOON });
  await node().removePod('short');
  await poll('see its links gone', () => linkCount() === before, { timeoutMs: SOON });
  expect(agent.logs.slice(seen).filter(({ msg }) => /detached by somebody/.test(msg ?? ''))).toEqual([]);
});

it.each(['control', 'known_addresses'])('puts %s right when it was overwritten', async (map) => {
  const seen = agent.logs.length;
  const before = await bytesOf(map);
  await zero(map);
  const line = await waitFor('it told', /did not hold what it should/, seen);
  expect(line.map).toBe(map);
  // The first four bytes of control count changes of routes, and the device before has just gone.
  const lasting = (bytes: string) => (map === 'control' ? bytes.slice(4 * '0x00'.length) : bytes);
  expect(lasting(await bytesOf(map))).toBe(lasting(before));
});

it('pins again what was unpinned, without a connection lost', async () => {
  const seen = agent.logs.length;
  const before = await pinnedIds(node(), 'map');
  const links = await pinnedIds(node(), 'link');
  await expectNoFailure(streams(), async () => {
    const directory = dirname(maps());
    for (const part of readdirSync(directory))
      for (const pin of readdirSync(join(directory, part))) rmSync(join(directory, part, pin), { force: true });
    await waitFor('it told', /pins were gone/, seen);
  });
  expect([await pinnedIds(node(), 'map'), await pinnedIds(node(), 'link')]).toEqual([before, links]);
});

it('goes on without a bpffs, and pins again when there is one', async () => {
  const seen = agent.logs.length;
  const mount = dirname(node().bpfRoot);
  const before = await pinnedIds(node(), 'map');
  const links = await pinnedIds(node(), 'link');
  await expectNoFailure(streams(), async () => {
    await run('umount', ['-l', mount]);
    await waitFor('it told', /^pins: gone, and cannot be made again/, seen);
    await run('mount', ['-t', 'bpf', 'bpf', mount]);
    await waitFor('it told', /pins were gone: pinned again/, seen);
  });
  expect([await pinnedIds(node(), 'map'), await pinnedIds(node(), 'link')]).toEqual([before, links]);
  await poll('see it well', async () => (await status()).report.conditions?.length === 0);
});

/** Ends the agent, takes a pin away, and gives the next one a Service that comes before those there were. */
async function loseAPin(n: number): Promise<void> {
  await agent.kill();
  rmSync(join(maps(), 'frontends'));
  rig.manifests.write('aaa.json', [service('aaa', n), ...slices('aaa', [rig.lab.pod(1, 2)])]);
}

it('finds a map whose pin was lost before a start in the programs that use it', async () => {
  const before = await pinnedIds(node(), 'map');
  await expectNoFailure(streams(), async () => {
    await loseAPin(12);
    agent = await rig.startAgent(1, { socketLb: 'host-only', timeoutMs: 60_000 });
  });
  expect(await pinnedIds(node(), 'map')).toEqual(before);
  expect(agent.logs.some(({ msg }) => /pins of maps were gone: pinned again/.test(msg ?? ''))).toBe(true);
}, 120_000);

it('makes all maps anew when it may not look for it: old programs follow nothing that is overwritten', async () => {
  const before = await pinnedIds(node(), 'map');
  // What the socket hook connects is none of the flows that are lost.
  const [, , fromNode] = streams();
  await expectNoFailure(fromNode === undefined ? [] : [fromNode], async () => {
    await loseAPin(13);
    const unprivileged = ['setpriv', '--bounding-set', '-sys_admin', '--inh-caps', '-sys_admin', '--'];
    const { manifests, config } = rig;
    const command = sluiceCommand(
      ...['agent', '--node-name', node().name, '--manifests', manifests.directory, '--config', config],
      ...['--cgroup-root', node().cgroupRoot, '--bpf-root', node().bpfRoot, '--socket-lb', 'host-only'],
    );
    agent = await rig.startAgent(1, { command: [...unprivileged, ...command], timeoutMs: 60_000 });
  });
  const after = await pinnedIds(node(), 'map');
  expect(Object.keys(after)).toEqual(Object.keys(before));
  for (const [map, id] of Object.entries(before)) expect(after[map], map).not.toBe(id);
  expect(agent.logs.some(({ msg }) => /pins of maps were lost/.test(msg ?? ''))).toBe(true);
  expect((await rig.lab.pod(1, 2).actor.http(addressesOf(WEB).clusterIp.IPv4, 80)).ok).toBe(true);
}, 120_000);
