/** Direct server return while agents restart, modes change and backends die: what is under way goes on. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { dial } from '../support/cluster/dial.ts';
import { expectNoFailure } from '../support/cluster/load.ts';
import { addressesOf, SERVICE_PORTS, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import type { Agent } from '../support/lab/agent.ts';
import { nodeObject } from '../support/lab/nodes.ts';
import { poll } from '../support/lab/poll.ts';

const FAR = 11;
const TWO = 12;
const DSR = ['--forwarding-mode', 'dsr'];

let rig: Rig;
let agents: Agent[] = [];

beforeAll(async () => {
  rig = await createRig();
  const { lab } = rig;
  rig.manifests.write('nodes.json', lab.nodes.map(nodeObject));
  rig.manifests.write('services.json', [service('far', FAR), ...slices('far', [lab.pod(2, 1)]), service('two', TWO)]);
  rig.manifests.write('two.json', slices('two', [lab.pod(2, 1), lab.pod(2, 2)]));
  agents = await rig.startAgents({ extraArgs: DSR });
});
afterAll(() => rig?.lab.destroy());

const streams = () =>
  (['IPv4', 'IPv6'] as const).flatMap((family) =>
    (['http', 'udp'] as const).map((protocol) => ({
      name: `${protocol} ${family}`,
      from: rig.lab.client(),
      options: { protocol, address: addressesOf(FAR).externalIp[family], port: SERVICE_PORTS[protocol] },
    })),
  );

async function restart(extraArgs: readonly string[], kill: boolean): Promise<void> {
  for (const n of [1, 2]) {
    await (kill ? agents[n - 1]?.kill() : agents[n - 1]?.stop());
    agents[n - 1] = await rig.startAgent(n, { extraArgs });
  }
}

it('agents of both nodes die and come back: no request fails', async () => {
  await expectNoFailure(streams(), () => restart(DSR, true));
});

it('the mode changes both ways: connections go on, new ones go the new way', async () => {
  const { lab } = rig;
  const address = addressesOf(FAR).externalIp.IPv4;
  const open = await lab.client().actor.open('tcp', address, SERVICE_PORTS.tcp);
  expect(await open.exchange({ bytes: 10_000 })).toMatchObject({ ok: true });
  const seen = async () => (await dial(lab.client(), 'http', address, SERVICE_PORTS.http, 5000)).seenSource;
  for (const [mode, source] of [
    [['--watch-nodes'], lab.node(1).ipv4],
    [[], lab.node(1).ipv4],
    [['--watch-nodes'], lab.node(1).ipv4],
    [DSR, lab.client().ipv4],
  ] as const) {
    await expectNoFailure(streams(), () => restart(mode, false));
    expect([mode, await seen()]).toEqual([mode, source]);
    expect(await open.exchange({ bytes: 100_000 })).toMatchObject({ ok: true, bytes: 100_000 });
  }
  await open.close();
});

it('datagrams of a backend that is gone find another', async () => {
  const { lab } = rig;
  const address = addressesOf(TWO).externalIp.IPv4;
  const ask = () => lab.client().actor.udp(address, SERVICE_PORTS.udp, { localPort: 9_999 });
  const first = await ask();
  expect(first).toMatchObject({ ok: true, seenSource: lab.client().ipv4 });
  const [gone, left] =
    first.who === lab.pod(2, 1).name ? [lab.pod(2, 1), lab.pod(2, 2)] : [lab.pod(2, 2), lab.pod(2, 1)];
  expect((await ask()).who).toBe(gone.name);
  rig.manifests.write('two.json', slices('two', [left]));
  await poll('see the other backend answer', async () => (await ask()).who === left.name);
});
