/**
 * Session affinity on the packet path (R-46…R-52): clients outside through NodePorts and load balancers,
 * a pod through the cluster IP; two clients, two addresses of one client, several ports. Only node1 runs an agent.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Service } from '../../src/model/kubernetes.ts';
import { dial } from '../support/cluster/dial.ts';
import { addressesOf, nodePortOf, SERVICE_PORTS, service, slices, type Target } from '../support/cluster/objects.ts';
import { Stage } from '../support/cluster/stage.ts';
import { whoAnswers } from '../support/cluster/table.ts';
import type { IpFamily } from '../support/lab/addressing.ts';
import type { Host } from '../support/lab/host.ts';
import type { Pod } from '../support/lab/node.ts';
import { poll } from '../support/lab/poll.ts';

const FAMILIES: readonly IpFamily[] = ['IPv4', 'IPv6'];
/** So many that 24 random choices are all the same once in 10^14 runs. */
const DIALS = 24;
const HOUR = 3600;

let stage: Stage;
let backends: Pod[];
let n = 10;

beforeAll(async () => {
  stage = await Stage.create({ externalClients: 2, podsPerNode: 3 });
  backends = [stage.pod(1, 1), stage.pod(1, 2), stage.pod(2, 1), stage.pod(2, 2)];
  await stage.run({ nodes: [1], socketLb: 'host-only' });
});
afterAll(() => stage?.destroy());

/** Each test has a Service of its own, which no client has dialled before. */
beforeEach(() => {
  n++;
});

const sticky = (seconds: number, spec: Service['spec'] = {}): Service['spec'] => ({
  sessionAffinity: 'ClientIP',
  sessionAffinityConfig: { clientIP: { timeoutSeconds: seconds } },
  ...spec,
});
const apply = (spec: Service['spec'], targets: readonly (Pod | Target)[] = backends) =>
  stage.apply([service(`web-${n}`, n, spec), ...slices(`web-${n}`, targets)]);

type Place = 'ClusterIP' | 'NodePort' | 'ExternalIP' | 'LoadBalancer';

function addressOf(place: Place, family: IpFamily): string {
  if (place === 'NodePort') return family === 'IPv4' ? stage.node(1).ipv4 : stage.node(1).ipv6;
  const { clusterIp, externalIp, balancerIp } = addressesOf(n);
  return { ClusterIP: clusterIp, ExternalIP: externalIp, LoadBalancer: balancerIp }[place][family];
}

const portOf = (place: Place, protocol: 'http' | 'udp') =>
  place === 'NodePort' ? nodePortOf(n) : SERVICE_PORTS[protocol];

async function once(from: Host, place: Place, family: IpFamily, protocol: 'http' | 'udp' = 'http'): Promise<string> {
  return whoAnswers(await dial(from, protocol, addressOf(place, family), portOf(place, protocol), 10_000));
}

/** The first dial decides alone: dials side by side would each choose. */
async function heard(count: number, ask: (i: number) => Promise<string>): Promise<Set<string>> {
  const names = new Set([await ask(0)]);
  for (const name of await Promise.all(Array.from({ length: count - 1 }, (_, i) => ask(i + 1)))) names.add(name);
  return names;
}

const PLACES: readonly Place[] = ['NodePort', 'LoadBalancer', 'ExternalIP', 'ClusterIP'];

describe.each(FAMILIES)('%s', (family) => {
  it('keeps a client of a port with one backend, over all its addresses (R-46, R-47)', async () => {
    await apply(sticky(HOUR));
    for (const from of [stage.client(1), stage.client(2), stage.pod(1, 3)]) {
      const names = await heard(DIALS, (i) => once(from, PLACES[i % PLACES.length] as Place, family));
      expect([from.name, ...names]).toEqual([from.name, expect.stringMatching(/^node/)]);
    }
  });

  it('counts clients by address, and ports apart (R-47)', async () => {
    const extra = Array.from({ length: 8 }, (_, i) => (family === 'IPv4' ? `172.31.0.${100 + i}` : `fd31::${100 + i}`));
    const client = stage.client(1);
    const bits = family === 'IPv4' ? 24 : 64;
    for (const address of extra) {
      const nodad = family === 'IPv6' ? ['nodad'] : [];
      await client.run(['ip', 'address', 'add', `${address}/${bits}`, 'dev', 'eth0', ...nodad]);
    }
    await apply(sticky(HOUR));
    const address = addressOf('LoadBalancer', family);
    const byAddress = new Map<string, Set<string>>();
    for (const localAddress of extra) {
      const ask = async () => whoAnswers(await client.actor.http(address, 80, { localAddress, timeoutMs: 10_000 }));
      byAddress.set(localAddress, await heard(6, ask));
    }
    for (const names of byAddress.values()) expect(names.size).toBe(1);
    // Eight clients on one of four backends: once in 16,000 runs; then their UDP port would have to agree as well.
    const all = new Set([...byAddress.values()].flatMap((names) => [...names]));
    const byUdp = new Set<string>();
    for (const localAddress of extra) {
      const ask = async () => whoAnswers(await client.actor.udp(address, 53, { localAddress, timeoutMs: 10_000 }));
      const names = await heard(3, ask);
      expect(names.size).toBe(1);
      byUdp.add(`${localAddress} ${[...names][0]}`);
    }
    const byTcp = new Set([...byAddress].map(([localAddress, names]) => `${localAddress} ${[...names][0]}`));
    expect(all.size + byUdp.size + [...byUdp].filter((row) => !byTcp.has(row)).length).toBeGreaterThan(
      1 + extra.length,
    );
  });

  it('chooses anew when the backend has left, and keeps to that (R-48)', async () => {
    await apply(sticky(HOUR));
    const first = await once(stage.client(1), 'NodePort', family);
    const rest = backends.filter(({ name }) => name !== first);
    await apply(sticky(HOUR), rest);
    const second = await heard(DIALS, () => once(stage.client(1), 'NodePort', family));
    expect(second.size).toBe(1);
    expect(second).not.toContain(first);
    await apply(sticky(HOUR));
    expect(await heard(DIALS, () => once(stage.client(1), 'NodePort', family))).toEqual(second);
  });

  it('keeps to a backend of the list in force: local outside, all inside (R-48)', async () => {
    await apply(sticky(HOUR, { externalTrafficPolicy: 'Local' }), [stage.pod(1, 1), stage.pod(2, 1)]);
    const client = stage.client(1);
    // The cluster IP knows no external policy: dialled from outside it may lead elsewhere.
    const inner = await poll('see the client kept elsewhere', async () => {
      const name = await once(client, 'ClusterIP', family);
      if (name === stage.pod(2, 1).name) return name;
      // Affinity holds it here: another Service lets it choose again.
      n++;
      await apply(sticky(HOUR, { externalTrafficPolicy: 'Local' }), [stage.pod(1, 1), stage.pod(2, 1)]);
      return false;
    });
    expect(inner).toBe(stage.pod(2, 1).name);
    // That one is not in the local list: another is chosen, and remembered for all addresses.
    expect(await once(client, 'LoadBalancer', family)).toBe(stage.pod(1, 1).name);
    expect(await heard(DIALS, () => once(client, 'ClusterIP', family))).toEqual(new Set([stage.pod(1, 1).name]));
  });

  it('can be switched on and off live (R-50)', async () => {
    for (const spec of [{}, { externalTrafficPolicy: 'Local' }] as const) {
      n++;
      const targets = [stage.pod(1, 1), stage.pod(1, 2)];
      const ask = () => heard(DIALS * 2, () => once(stage.client(1), 'LoadBalancer', family));
      const pod = () => heard(DIALS * 2, () => once(stage.pod(1, 3), 'ClusterIP', family));
      await apply(spec, targets);
      expect([(await ask()).size, (await pod()).size]).toEqual([2, 2]);
      await apply(sticky(HOUR, spec), targets);
      expect([(await ask()).size, (await pod()).size]).toEqual([1, 1]);
      await apply(spec, targets);
      expect([(await ask()).size, (await pod()).size]).toEqual([2, 2]);
    }
  });

  it('knows a client by its own address, translated or not (R-51)', async () => {
    // Policy Cluster: the backends see one address of the node for both clients.
    await apply(sticky(HOUR));
    const ask = (i: number) => heard(DIALS / 2, () => once(stage.client(i), 'LoadBalancer', family));
    await poll('see two clients on two backends', async () => {
      const [one, two] = [await ask(1), await ask(2)];
      expect([one.size, two.size]).toEqual([1, 1]);
      if ([...one][0] !== [...two][0]) return true;
      n++;
      await apply(sticky(HOUR));
      return false;
    });
  });

  it('ends in a random choice, by a time-out that may change while it runs (R-49, R-52)', async () => {
    await apply(sticky(HOUR));
    const client = stage.client(1);
    const ask = () => once(client, 'LoadBalancer', family, 'udp');
    const first = await ask();
    expect(await heard(DIALS, ask)).toEqual(new Set([first]));
    // The hour becomes a second for what is there already.
    await apply(sticky(1));
    await poll('see another backend', async () => (await ask()) !== first, { everyMs: 1200, timeoutMs: 30_000 });
  });

  it('is renewed by each new connection (R-46)', async () => {
    await apply(sticky(2));
    const client = stage.client(1);
    const ask = () => once(client, 'NodePort', family);
    let last = performance.now();
    let name = await ask();
    // Longer than the time-out in all, each pause shorter; a pause that was too long on a busy machine begins anew.
    let kept = 0;
    await poll(
      'see it renewed',
      async () => {
        const next = await ask();
        const pause = performance.now() - last;
        last = performance.now();
        if (pause < 1500) expect(next).toBe(name);
        kept = pause < 1500 ? kept + pause : 0;
        name = next;
        return kept > 4000;
      },
      { everyMs: 250, timeoutMs: 40_000 },
    );
  });
});
