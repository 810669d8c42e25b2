/**
 * Session affinity by traffic, on the socket path and per packet alike: who counts as one client, over which
 * addresses, for how long, and what changes while it lasts (R-46…R-52).
 */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Service } from '../../src/model/kubernetes.ts';
import { dial, type Protocol, portOf } from '../support/cluster/dial.ts';
import { frontends } from '../support/cluster/kernel.ts';
import { addressesOf, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import type { IpFamily } from '../support/lab/addressing.ts';
import type { Agent } from '../support/lab/agent.ts';
import type { Host } from '../support/lab/host.ts';
import { listLeftovers } from '../support/lab/leftovers.ts';
import type { Pod } from '../support/lab/node.ts';
import { poll } from '../support/lab/poll.ts';

const FAMILIES: readonly IpFamily[] = ['IPv4', 'IPv6'];
/** So many that two clients never choose alike by chance: 4 backends, once in 16 million. */
const STICKY = Array.from({ length: 12 }, (_, i) => 31 + i);
/** Of the tests that change it. */
const CHANGING = 51;
const MANY = 16;

let rig: Rig;

const backends = (): Pod[] => [rig.lab.pod(1, 1), rig.lab.pod(2, 1), rig.lab.pod(2, 2), rig.lab.pod(2, 3)];
const clients = (): Host[] => [rig.lab.pod(1, 2), rig.lab.pod(1, 3), rig.lab.node(1), rig.lab.client()];

function clientIp(timeoutSeconds: number): Service['spec'] {
  return { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds } } };
}

/** Addresses and ports of the nth Service that the client dials; a NodePort also on 127.0.0.1 for the node. */
function frontendsOf(client: Host, n: number, family: IpFamily, protocol: Protocol): [string, number][] {
  const { clusterIp, externalIp, balancerIp } = addressesOf(n);
  const node = rig.lab.node(1);
  const nodePort = portOf(protocol, true, n);
  return [
    ...[clusterIp, externalIp, balancerIp].map((ip): [string, number] => [ip[family], portOf(protocol, false, n)]),
    [family === 'IPv4' ? node.ipv4 : node.ipv6, nodePort],
    ...(client === node && family === 'IPv4' ? [['127.0.0.1', nodePort] as [string, number]] : []),
  ];
}

beforeAll(async () => {
  rig = await createRig({ podsPerNode: 3 });
});

afterAll(async () => {
  await rig?.lab.destroy();
  if (rig !== undefined) expect(listLeftovers(rig.lab.id)).toEqual([]);
});

describe.each(['all', 'host-only'] as const)('--socket-lb %s', (socketLb) => {
  let agent: Agent;

  beforeAll(async () => {
    rig.manifests.write(
      'sticky.json',
      STICKY.flatMap((n) => [service(`sticky${n}`, n, clientIp(10_800)), ...slices(`sticky${n}`, backends())]),
    );
    agent = await rig.startAgent(1, { socketLb });
  });
  afterAll(() => agent.stop());

  const ask = async (client: Host, [address, port]: [string, number], protocol: Protocol = 'http') => {
    const probe = await dial(client, protocol, address, port, 5000);
    return probe.who ?? probe.errno ?? '';
  };

  describe.each(FAMILIES)('%s', (family) => {
    it.each([
      [['http']],
      [['udp', 'sendto']],
    ] as const)('a client keeps one backend over every address of a port, and is alone in that, %s (R-46, R-47, R-51)', async (protocols) => {
      const choices = await Promise.all(
        clients().map(async (client) => {
          const chosen: string[] = [];
          for (const n of STICKY) {
            const heard = new Set<string>();
            for (const protocol of protocols) {
              for (const frontend of frontendsOf(client, n, family, protocol)) {
                heard.add(await ask(client, frontend, protocol));
              }
            }
            expect([client.name, n, [...heard]]).toEqual([client.name, n, [expect.stringMatching(/^node\d-pod\d$/)]]);
            chosen.push([...heard].join());
          }
          return chosen.join(' ');
        }),
      );
      // Two pods of one node, the node and a client outside: each chose for itself.
      expect(new Set(choices).size, choices.join('\n')).toBe(choices.length);
    });
  });

  describe('while it changes', () => {
    const frontend = (): [string, number] => [addressesOf(CHANGING).balancerIp.IPv4, portOf('http', false, CHANGING)];
    const write = (spec: Service['spec'], pods: readonly Pod[] = backends()) =>
      rig.manifests.write('changing.json', [service('changing', CHANGING, spec), ...slices('changing', pods)]);
    /** Who answers each client, over many connections. */
    const heardBy = async (count = MANY): Promise<Set<string>[]> =>
      Promise.all(
        clients().map(async (client) => {
          const heard = new Set<string>();
          for (let i = 0; i < count; i++) heard.add(await ask(client, frontend()));
          return heard;
        }),
      );
    const sizes = async () => (await heardBy()).map(({ size }) => size);

    async function expectSpread(): Promise<void> {
      await poll('see connections spread', async () => {
        expect((await sizes()).every((size) => size > 1)).toBe(true);
        return true;
      });
    }

    async function expectSticky(): Promise<void> {
      await poll('see connections stick', async () => {
        expect(await sizes()).toEqual(clients().map(() => 1));
        return true;
      });
      for (const heard of await heardBy(1)) expect([...heard][0]).toMatch(/^node\d-pod\d$/);
    }

    afterAll(() => rig.manifests.remove('changing.json'));

    it('is switched on and off for the next connection (R-50)', async () => {
      write({ sessionAffinity: 'None' });
      await expectSpread();
      write(clientIp(10_800));
      await expectSticky();
      write({ sessionAffinity: 'None' });
      await expectSpread();
    });

    it('leaves a backend that is gone, and does not return with it (R-48)', async () => {
      write(clientIp(10_800), backends().slice(0, 1));
      const only = backends()[0]?.name ?? '';
      const first = clients().map(() => [only]);
      await poll('see the one backend', async () => {
        expect((await heardBy(1)).map((heard) => [...heard])).toEqual(first);
        return true;
      });
      write(clientIp(10_800), backends().slice(1));
      await poll('see it left', async () => !(await heardBy(1)).some((heard) => heard.has(only)));
      const after = (await heardBy(4)).map((heard) => [...heard]);
      expect(after.map(({ length }) => length)).toEqual(clients().map(() => 1));
      write(clientIp(10_800));
      await poll('see the whole list in force', async () => {
        const rows = (await frontends(rig.lab.node(1))).filter(
          ({ name, port }) => name === 'changing' && port === 'http',
        );
        return rows.length > 0 && rows.every(({ internal }) => internal.count === backends().length);
      });
      expect((await heardBy(4)).map((heard) => [...heard])).toEqual(after);
    });

    it('lasts while new connections come, and ends in a random choice; a changed time-out counts at once (R-46, R-49, R-52)', async () => {
      const timeoutSeconds = 2;
      write(clientIp(10_800));
      await expectSticky();
      write(clientIp(timeoutSeconds));
      await Promise.all(
        clients().map(async (client) => {
          // The entry of before the change ends too.
          const first = await ask(client, frontend());
          await poll(`see ${client.name} choose again`, async () => (await ask(client, frontend())) !== first, {
            everyMs: timeoutSeconds * 1000 + 200,
            timeoutMs: 90_000,
          });
          // Renewed for three times its length, unless the machine itself let the time pass.
          let [last, since] = [await ask(client, frontend()), performance.now()];
          for (const end = since + 3 * timeoutSeconds * 1000; performance.now() < end; ) {
            await delay(100);
            const began = since;
            since = performance.now();
            const now = await ask(client, frontend());
            if (performance.now() - began < timeoutSeconds * 1000)
              expect([client.name, now]).toEqual([client.name, last]);
            last = now;
          }
        }),
      );
    }, 120_000);
  });
});
