/** The algorithm of a Service by traffic: at sockets and per packet, and changed while connections are open. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Service } from '../../src/model/kubernetes.ts';
import { dial, portOf } from '../support/cluster/dial.ts';
import { addressesOf, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import type { Agent } from '../support/lab/agent.ts';
import type { Host } from '../support/lab/host.ts';
import { listLeftovers } from '../support/lab/leftovers.ts';
import type { Pod } from '../support/lab/node.ts';
import { poll } from '../support/lab/poll.ts';

const N = 61;
let rig: Rig;

const backends = (): Pod[] => [rig.lab.pod(1, 1), rig.lab.pod(2, 1), rig.lab.pod(2, 2)];

beforeAll(async () => {
  rig = await createRig({ podsPerNode: 3 });
});

afterAll(async () => {
  await rig?.lab.destroy();
  if (rig !== undefined) expect(listLeftovers(rig.lab.id)).toEqual([]);
});

/** @param weight of all endpoints but the first, which has 1 */
function write(algorithm: string, weights?: string): void {
  const made: Service = service('chosen', N);
  const annotated = { ...made, metadata: { ...made.metadata, annotations: { 'sluice.io/algorithm': algorithm } } };
  const parts = slices('chosen', backends()).map((slice) =>
    weights === undefined
      ? slice
      : { ...slice, metadata: { ...slice.metadata, annotations: { 'sluice.io/weight': weights } } },
  );
  rig.manifests.write('chosen.json', [annotated, ...parts]);
}

describe.each(['all', 'host-only'] as const)('--socket-lb %s', (socketLb) => {
  let agent: Agent;

  beforeAll(async () => {
    write('rr');
    agent = await rig.startAgent(1, { socketLb });
  });
  afterAll(() => agent.stop());

  async function heard(client: Host, count: number): Promise<Map<string, number>> {
    const counts = new Map<string, number>();
    for (let i = 0; i < count; i++) {
      const probe = await dial(client, 'http', addressesOf(N).clusterIp.IPv4, portOf('http', false, N), 5000);
      const who = probe.who ?? probe.errno ?? '';
      counts.set(who, (counts.get(who) ?? 0) + 1);
    }
    return counts;
  }
  const sorted = (counts: ReadonlyMap<string, number>) => [...counts.values()].sort((a, b) => a - b);
  const clients = (): Host[] => [rig.lab.pod(1, 2), rig.lab.node(1)];

  it('follows the algorithm and the weights of now', async () => {
    for (const client of clients()) expect(sorted(await heard(client, 9))).toEqual([3, 3, 3]);

    const [first] = backends();
    write('wrr', `1,${first?.ipv4}=4`);
    await poll('see turns by weight', async () => {
      expect(sorted(await heard(rig.lab.node(1), 12))).toEqual([2, 2, 8]);
      return true;
    });

    write('fo', `1,${first?.ipv4}=4`);
    await poll('see one backend', async () => {
      for (const client of clients()) expect([...(await heard(client, 6)).keys()]).toEqual([first?.name]);
      return true;
    });

    write('rr', `1,${first?.ipv4}=0`);
    await poll('see the others alone', async () => {
      expect(sorted(await heard(rig.lab.pod(1, 2), 6))).toEqual([3, 3]);
      return true;
    });

    write('sh');
    await poll('see each client keep one', async () => {
      for (const client of clients()) expect((await heard(client, 6)).size).toBe(1);
      return true;
    });
    write('rr');
    await poll('see turns again', async () => {
      expect(sorted(await heard(rig.lab.pod(1, 2), 9))).toEqual([3, 3, 3]);
      return true;
    });
  });
});
