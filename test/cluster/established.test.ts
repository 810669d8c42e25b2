/**
 * Established connections stay with their backend while it becomes unready, terminates and leaves the
 * slices; new ones never go to it. Each client, each path: by socket, through the stack, and out
 * again from the hook.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Endpoint } from '../../src/model/kubernetes.ts';
import { addressesOf, nodePortOf, SERVICE_PORTS, service, slices } from '../support/cluster/objects.ts';
import { Stage } from '../support/cluster/stage.ts';
import { ask, whoAnswers } from '../support/cluster/table.ts';
import type { IpFamily } from '../support/lab/addressing.ts';
import type { Host } from '../support/lab/host.ts';
import type { Pod } from '../support/lab/node.ts';
import type { Conversation } from '../support/traffic/actor.ts';

const FAMILIES: readonly IpFamily[] = ['IPv4', 'IPv6'];
/** Services by number: the backend that goes is here, or elsewhere. */
const HERE = 11;
const ELSEWHERE = 12;

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.create({ podsPerNode: 3 });
});
afterAll(() => stage?.destroy());

const leaving = (n: number): Pod => (n === HERE ? stage.pod(1, 1) : stage.pod(2, 1));
const staying = (n: number): Pod => (n === HERE ? stage.pod(2, 2) : stage.pod(1, 2));

/** @param conditions of the backends that go; undefined: they are in no slice */
function objects(conditions: Endpoint['conditions'] | undefined, alone = false) {
  return [HERE, ELSEWHERE].flatMap((n) => [
    service(`web-${n}`, n),
    ...slices(`web-${n}`, [
      ...(conditions === undefined ? [] : [{ pod: leaving(n), conditions }]),
      ...(alone ? [] : [staying(n)]),
    ]),
  ]);
}

interface Talk {
  readonly name: string;
  readonly n: number;
  readonly from: Host;
  readonly conversation: Conversation;
  /** Whom a new connection reaches. */
  anew(): Promise<string>;
}

async function openAll(): Promise<Talk[]> {
  const clients = { pod: stage.pod(1, 3), node: stage.node(1), outside: stage.client() };
  const talks = Object.entries(clients).flatMap(([client, from]) =>
    FAMILIES.flatMap((family) =>
      [HERE, ELSEWHERE].flatMap((n) => {
        const { clusterIp, balancerIp } = addressesOf(n);
        const node = family === 'IPv4' ? stage.node(1).ipv4 : stage.node(1).ipv6;
        const frontends = {
          ClusterIP: [clusterIp[family], SERVICE_PORTS.tcp, SERVICE_PORTS.http],
          LoadBalancer: [balancerIp[family], SERVICE_PORTS.tcp, SERVICE_PORTS.http],
          NodePort: [node, nodePortOf(n) + 100, nodePortOf(n)],
        } as const;
        return Object.entries(frontends).map(async ([frontend, [address, tcp, http]]): Promise<Talk> => {
          const conversation = await from.actor.open('tcp', address, tcp, { timeoutMs: 10_000 });
          const anew = async () => whoAnswers(await ask({ from, protocol: 'http', address, port: http }, ''));
          const place = n === HERE ? 'here' : 'elsewhere';
          return { name: `${client} → ${frontend} ${family} → ${place}`, n, from, conversation, anew };
        });
      }),
    ),
  );
  return Promise.all(talks);
}

const table = (talks: readonly Talk[], row: (talk: Talk) => string) =>
  Object.fromEntries(talks.map((talk) => [talk.name, row(talk)]));

async function expectGoingOn(talks: readonly Talk[]): Promise<void> {
  const probes = await Promise.all(
    talks.map(async ({ name, conversation }) => {
      const { ok, errno } = await conversation.exchange({ bytes: 5000, timeoutMs: 10_000 });
      return [name, ok ? 'goes on' : errno];
    }),
  );
  expect(Object.fromEntries(probes)).toEqual(table(talks, () => 'goes on'));
}

async function expectAnewAt(talks: readonly Talk[], pod: (n: number) => Pod): Promise<void> {
  // Twice each: with the one that goes among them, half would go there.
  for (let i = 0; i < 2; i++) {
    const heard = await Promise.all(talks.map(async (talk) => [talk.name, await talk.anew()]));
    expect(Object.fromEntries(heard)).toEqual(table(talks, ({ n }) => pod(n).name));
  }
}

const CHANGES: readonly [string, Endpoint['conditions'] | undefined][] = [
  ['unready', { ready: false, serving: false, terminating: false }],
  ['terminating and serving', { ready: false, serving: true, terminating: true }],
  ['terminating and no more serving', { ready: false, serving: false, terminating: true }],
  ['gone from the slices', undefined],
];

describe.each(['all', 'host-only'] as const)('--socket-lb %s', (socketLb) => {
  it('TCP goes on through all that becomes of its backend, new connections go elsewhere (R-23)', async () => {
    await stage.apply(objects({ ready: true }, true));
    await stage.run({ nodes: [1], socketLb });
    const talks = await openAll();
    expect(Object.fromEntries(talks.map(({ name, conversation }) => [name, conversation.opened.who]))).toEqual(
      table(talks, ({ n }) => leaving(n).name),
    );
    for (const [, conditions] of CHANGES) {
      await stage.apply(objects(conditions));
      await expectGoingOn(talks);
      await expectAnewAt(talks, staying);
    }
    // The Service without any endpoint, and no Service at all.
    await stage.apply(objects(undefined, true));
    await expectGoingOn(talks);
    await stage.apply([]);
    await expectGoingOn(talks);
    await Promise.all(talks.map(({ conversation }) => conversation.close()));
  });
});
