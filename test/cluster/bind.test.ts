/** A process of the node on the number of a NodePort: it loses to the Service, and is kept from it where wanted. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodePortOf, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import type { Agent } from '../support/lab/agent.ts';
import type { Host } from '../support/lab/host.ts';
import { listLeftovers } from '../support/lab/leftovers.ts';
import { poll } from '../support/lab/poll.ts';

const N = 11;
const PORT = nodePortOf(N);

let rig: Rig;
const node = () => rig.lab.node(1);
const pod = () => rig.lab.pod(2, 1);

beforeAll(async () => {
  rig = await createRig();
});

afterAll(async () => {
  await rig?.lab.destroy();
  if (rig !== undefined) expect(listLeftovers(rig.lab.id)).toEqual([]);
});

/** Who answers on the NodePort, by TCP and UDP over both families. */
async function answers(client: Host): Promise<(string | undefined)[]> {
  const probes = [node().ipv4, node().ipv6].flatMap((address) => [
    client.actor.http(address, PORT),
    client.actor.udp(address, PORT),
  ]);
  return (await Promise.all(probes)).map(({ who, errno }) => who ?? errno);
}
const all = (who: string) => [who, who, who, who];

describe.each(['on', 'off'])('--bind-protection %s', (protection) => {
  let agent: Agent;

  beforeAll(async () => {
    agent = await rig.startAgent(1, { extraArgs: ['--bind-protection', protection] });
  });
  afterAll(() => agent.stop());

  it('a process that was there first answers until there is the Service, and then no more (R-57)', async () => {
    const clients = [rig.lab.client(), rig.lab.node(2), rig.lab.pod(1, 2), node()];
    // Bound to one address each: UDP answers must come from the one that was asked.
    await node().actor.serve({ http: [PORT], udp: [PORT], addresses: [node().ipv4, node().ipv6] });
    for (const client of clients) expect(await answers(client)).toEqual(all(node().name));
    rig.manifests.write('web.json', [service('web', N), ...slices('web', [pod()])]);
    for (const client of clients) {
      await poll('see the Service answer', async () => {
        expect(await answers(client)).toEqual(all(pod().name));
        return true;
      });
    }
    rig.manifests.remove('web.json');
    for (const client of clients) {
      await poll('see the process answer again', async () => {
        expect(await answers(client)).toEqual(all(node().name));
        return true;
      });
    }
    await node().actor.unserve();
  });

  it('a process that comes later is refused the port when it is protected, and answers nobody when not (R-57)', async () => {
    rig.manifests.write('web.json', [service('web', N), ...slices('web', [pod()])]);
    await poll('see the Service answer', async () => (await answers(rig.lab.client()))[0] === pod().name);
    for (const ports of [{ http: [PORT] }, { udp: [PORT] }]) {
      const bound = node().actor.serve(ports);
      if (protection === 'on') await expect(bound).rejects.toThrow('EADDRINUSE');
      else await bound;
    }
    expect(await answers(rig.lab.client())).toEqual(all(pod().name));
    // Another number, and the same number in a pod, are free for all.
    await node().actor.serve({ http: [PORT + 1000] });
    await rig.lab.pod(1, 2).actor.serve({ http: [PORT] });
    await node().actor.unserve();
    await rig.lab.pod(1, 2).actor.unserve({ ports: [PORT] });
    rig.manifests.remove('web.json');
  });
});
