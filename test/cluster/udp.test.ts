/**
 * UDP sockets that live longer than what they speak to: than a backend, the last backend, the Service,
 * the agent; and those that began to send before there was a Service (R-66…R-69). Each kind of client,
 * connected and not, over both families, packet path and socket path.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { linkName } from '../../src/bpf/paths.ts';
import { writeConfiguration } from '../support/cluster/configuration.ts';
import { linkPins } from '../support/cluster/kernel.ts';
import {
  addressesOf,
  nodePortOf,
  POD_PORTS,
  SERVICE_PORTS,
  service,
  slices,
  type Target,
} from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import type { IpFamily } from '../support/lab/addressing.ts';
import type { Agent } from '../support/lab/agent.ts';
import type { Host } from '../support/lab/host.ts';
import { listLeftovers } from '../support/lab/leftovers.ts';
import type { Pod } from '../support/lab/node.ts';
import { poll } from '../support/lab/poll.ts';
import type { Conversation } from '../support/traffic/actor.ts';

const CLIENTS = ['pod', 'node', 'outside'] as const;
type ClientName = (typeof CLIENTS)[number];
const FAMILIES: readonly IpFamily[] = ['IPv4', 'IPv6'];
/** How long an answer may take on a busy machine; an answer that must not come is not waited for longer. */
const ANSWER_MS = 1500;

let rig: Rig;
let agent: Agent;
/** Each test has a Service of its own: nothing is left of the one before. */
let n = 20;

const near = () => rig.lab.pod(1, 1);
const far = () => rig.lab.pod(2, 1);
const clientOf = (name: ClientName): Host =>
  name === 'pod' ? rig.lab.pod(1, 2) : name === 'node' ? rig.lab.node(1) : rig.lab.client();

function frontendOf(client: ClientName, family: IpFamily): [address: string, port: number] {
  if (client !== 'outside') return [addressesOf(n).clusterIp[family], SERVICE_PORTS.udp];
  const node = rig.lab.node(1);
  return [family === 'IPv4' ? node.ipv4 : node.ipv6, nodePortOf(n)];
}

beforeAll(async () => {
  rig = await createRig();
});

afterAll(async () => {
  await rig?.lab.destroy();
  if (rig !== undefined) expect(listLeftovers(rig.lab.id)).toEqual([]);
});

describe.each(['all', 'host-only'] as const)('--socket-lb %s', (socketLb) => {
  interface Talk {
    readonly title: string;
    readonly connected: boolean;
    /** The socket hook connected it to its backend. */
    readonly pointed: boolean;
    readonly conversation: Conversation;
  }
  let talks: Talk[] = [];
  let config: string;

  beforeAll(async () => {
    // What may be looked at less is reviewed each second.
    config = writeConfiguration(rig.lab, { iptables: { syncPeriod: '1s' } }, 'often');
    agent = await rig.startAgent(1, { socketLb, config });
  });
  afterAll(() => agent.stop());

  beforeEach(() => {
    n++;
    return async () => {
      await Promise.all(talks.map(({ conversation }) => conversation.close()));
      talks = [];
      rig.manifests.write('udp.json', []);
    };
  });

  const write = (...targets: (Pod | Target)[]) =>
    rig.manifests.write('udp.json', [service(`udp${n}`, n), ...slices(`udp${n}`, targets)]);

  async function openAll(kinds: readonly boolean[] = [true, false]): Promise<void> {
    const rows = CLIENTS.flatMap((client) =>
      FAMILIES.flatMap((family) => kinds.map((connected) => ({ client, family, connected }))),
    );
    talks = await Promise.all(
      rows.map(async ({ client, family, connected }) => ({
        title: `${client}, ${connected ? 'connected' : 'unconnected'}, ${family}`,
        connected,
        pointed: connected && (client === 'node' || (client === 'pod' && socketLb === 'all')),
        conversation: await clientOf(client).actor.open('udp', ...frontendOf(client, family), { connected }),
      })),
    );
  }

  /** One datagram from each: who answered, or the error. */
  async function ask(): Promise<Record<string, string>> {
    const heard = await Promise.all(
      talks.map(async ({ title, conversation }): Promise<[string, string]> => {
        const probe = await conversation.exchange({ timeoutMs: ANSWER_MS });
        return [title, probe.who ?? probe.errno ?? ''];
      }),
    );
    return Object.fromEntries(heard);
  }

  const each = (expected: (talk: Talk) => string) =>
    Object.fromEntries(talks.map((talk) => [talk.title, expected(talk)]));

  /** Asks until what is heard is what is expected, and once more. */
  async function expectEach(what: string, expected: (talk: Talk) => string): Promise<void> {
    const seen = async () => {
      expect(await ask()).toEqual(each(expected));
      return true;
    };
    await poll(what, seen, { timeoutMs: 30_000 });
    expect(await ask()).toEqual(each(expected));
  }

  /** Every client's new socket, connected and not. */
  async function expectNewSockets(who: string): Promise<void> {
    const before = talks;
    await openAll();
    expect(await ask()).toEqual(each(() => who));
    await Promise.all(talks.map(({ conversation }) => conversation.close()));
    talks = before;
  }

  async function startWith(first: Pod): Promise<void> {
    write(first);
    await poll('see the Service served', async () => {
      const probe = await rig.lab.client().actor.udp(...frontendOf('outside', 'IPv6'), { timeoutMs: 300 });
      return probe.who === first.name;
    });
    await openAll();
    expect(await ask()).toEqual(each(() => first.name));
  }

  /** What the hook connected to a backend that is gone gets an error; the others the backend that lives. */
  const movedTo = (pod: Pod) => (talk: Talk) => (talk.pointed ? 'EPERM' : pod.name);

  it('leave a backend that serves no more (R-66, R-69)', async () => {
    await startWith(near());
    write(far());
    await expectEach('see them leave the backend', movedTo(far()));
    await expectNewSockets(far().name);
  });

  it('stay with a backend that serves while it terminates (R-66)', async () => {
    await startWith(near());
    write(far(), { pod: near(), conditions: { ready: false, serving: true, terminating: true } });
    await poll('see new sockets at the other backend', async () => {
      const probe = await rig.lab.node(1).actor.udp(...frontendOf('node', 'IPv4'));
      return probe.who === far().name;
    });
    for (let i = 0; i < 3; i++) expect(await ask()).toEqual(each(() => near().name));
  });

  /** A refusal reaches sockets that are connected, and those whose sendmsg the hook refuses. */
  const refusal = ({ title, connected, pointed }: Talk) => {
    if (pointed) return 'EPERM';
    const bySocket = title.startsWith('node') || (title.startsWith('pod') && socketLb === 'all');
    return connected || bySocket ? 'ECONNREFUSED' : 'ETIMEDOUT';
  };

  it('are refused when the last backend goes, and served when one comes (R-28, R-67, R-69)', async () => {
    await startWith(near());
    write();
    await expectEach('see them refused', refusal);
    write(far());
    await expectEach('see them served again', movedTo(far()));
    await expectNewSockets(far().name);
  });

  it('hear nothing from the backend of a deleted Service, and are served when it is back (R-67, R-69)', async () => {
    await startWith(near());
    rig.manifests.write('udp.json', []);
    await poll('see nobody answer', async () => {
      expect(Object.values(await ask())).not.toContain(near().name);
      return true;
    });
    const after = await ask();
    for (const { title, pointed } of talks) if (pointed) expect(after[title], title).toBe('EPERM');
    write(far());
    await expectEach('see them served again', movedTo(far()));
    await expectNewSockets(far().name);
  });

  it('leave a backend that went while the agent was down (R-67, R-69)', async () => {
    await startWith(near());
    await agent.kill();
    write(far());
    expect(await ask()).toEqual(each(() => near().name));
    agent = await rig.startAgent(1, { socketLb, config });
    await expectEach('see them leave the backend', movedTo(far()));
    await expectNewSockets(far().name);
  });

  it('leave the backend of a Service that went while the agent was down (R-67, R-69)', async () => {
    await startWith(near());
    await agent.kill();
    rig.manifests.write('udp.json', []);
    expect(await ask()).toEqual(each(() => near().name));
    agent = await rig.startAgent(1, { socketLb, config });
    const after = await ask();
    expect(Object.values(after)).not.toContain(near().name);
    for (const { title, pointed } of talks) if (pointed) expect(after[title], title).toBe('EPERM');
  });

  it('that began before the Service are served once it is there (R-68)', async () => {
    await openAll();
    for (let i = 0; i < 3; i++) for (const heard of Object.values(await ask())) expect(heard).toMatch(/^E/);
    write(far());
    await expectEach('see them served', () => far().name);
  });

  it('that began before the Service had endpoints are served once it has (R-68)', async () => {
    write();
    const probe = () => rig.lab.client().actor.udp(...frontendOf('outside', 'IPv6'), { timeoutMs: 300 });
    // The NodePort is refused by the node itself too: the cluster IP tells whether the Service is there.
    const refused = async () => (await rig.lab.node(1).actor.udp(...frontendOf('node', 'IPv4'))).errno;
    await poll('see the Service refuse', async () => (await refused()) === 'ECONNREFUSED');
    expect((await probe()).errno).toBe('ECONNREFUSED');
    await openAll([false]);
    expect(await ask()).toEqual(each(refusal));
    write(far());
    await expectEach('see them served', () => far().name);
  });

  it('that were connected to the backend itself are left alone (R-69)', async () => {
    await startWith(near());
    const { clusterIp } = addressesOf(n);
    const open = (client: Host, address: string) => client.actor.open('udp', address, SERVICE_PORTS.udp);
    // At first by way of the Service, then by itself: the same socket.
    const direct = await Promise.all(
      [rig.lab.pod(1, 2), rig.lab.node(1)].map((client) => open(client, clusterIp.IPv4)),
    );
    for (const talk of direct) {
      expect((await talk.exchange()).who).toBe(near().name);
      await talk.reconnect(near().ipv4, POD_PORTS.udp);
    }
    write(far());
    await expectEach('see the others leave the backend', movedTo(far()));
    for (const talk of direct) expect((await talk.exchange()).who).toBe(near().name);
    await Promise.all(direct.map((talk) => talk.close()));
  });

  it('have their packets looked at only while one of them has no backend (R-69)', async () => {
    const looking = () => linkName('cgroup', 'skb_egress') in linkPins(rig.lab.node(1));
    await poll('see it over', () => !looking());
    await startWith(near());
    write(far());
    await expectEach('see them leave the backend', movedTo(far()));
    expect(looking()).toBe(true);
    await Promise.all(talks.map(({ conversation }) => conversation.close()));
    talks = [];
    await poll('see it over', () => !looking());
  });
});
