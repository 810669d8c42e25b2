/** Topology hints, by who answers, changed live (R-24…R-27). Only node1, in zone-a, runs an agent. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Endpoint, EndpointSlice, KubernetesObject } from '../../src/model/kubernetes.ts';
import { addressesOf, nodePortOf, service, slices, type Target } from '../support/cluster/objects.ts';
import { Stage } from '../support/cluster/stage.ts';
import { ask, whoAnswers } from '../support/cluster/table.ts';
import type { Host } from '../support/lab/host.ts';
import type { Pod } from '../support/lab/node.ts';

const WEB = 11;
type Hints = NonNullable<Endpoint['hints']>;

const zones = (...names: string[]): Hints => ({ forZones: names.map((name) => ({ name })) });
const nodes = (...names: string[]): Hints => ({ forNodes: names.map((name) => ({ name })) });

let stage: Stage;
let here: Pod;
let there: Pod;
let far: Pod;

beforeAll(async () => {
  stage = await Stage.create({ nodes: 3 });
  [here, there, far] = [stage.pod(1, 1), stage.pod(2, 1), stage.pod(3, 1)];
  await stage.run({ nodes: [1], socketLb: 'host-only' });
});
afterAll(() => stage?.destroy());

/** Endpoints with their hints; conditions other than ready where given. */
type Hinted = readonly [Pod | Target, Hints?];

function withHints(hinted: readonly Hinted[]): EndpointSlice[] {
  return slices(
    'web',
    hinted.map(([target]) => target),
  ).map((slice) => ({
    ...slice,
    endpoints: slice.endpoints?.map((endpoint, i) => {
      const hints = hinted[i]?.[1];
      return hints === undefined ? endpoint : { ...endpoint, hints };
    }),
  }));
}

/** @param zone of node1; undefined: the label is not there */
function nodeIn(zone: string | undefined): KubernetesObject[] {
  const [node] = stage.nodeObjects;
  const { 'topology.kubernetes.io/zone': _, ...labels } = node?.metadata?.labels ?? {};
  const zoned = zone === undefined ? labels : { ...labels, 'topology.kubernetes.io/zone': zone };
  return [{ ...node, metadata: { ...node?.metadata, labels: zoned } }];
}

let zone: string | undefined = 'zone-a';
const apply = (hinted: readonly Hinted[], spec: Record<string, unknown> = {}) =>
  stage.apply([...nodeIn(zone), service('web', WEB, spec), ...withHints(hinted)]);

const BATCH = 24;
const BATCHES = 6;

/**
 * Everybody who answers a client in many tries; more tries while fewer than `count` did: the choice is random, and one of
 * three stays away from 24 connections once in 5,000 times.
 */
async function answering(
  from: Host,
  address: string,
  port: number,
  count: number,
  protocols: readonly ('http' | 'udp')[] = ['http', 'udp'],
): Promise<string[]> {
  const names = new Set<string>();
  for (let batch = 0; batch < BATCHES && (batch === 0 || names.size < count); batch++) {
    const answers = Array.from({ length: BATCH }, (_, i) =>
      ask({ from, protocol: protocols[i % protocols.length] ?? 'http', address, port }, '').then(whoAnswers),
    );
    for (const name of await Promise.all(answers)) names.add(name);
  }
  return [...names].sort();
}

/** Every client sees the same: pod, node, outside; the node by the socket. */
async function expectServing(...pods: readonly Pod[]): Promise<void> {
  const wanted = pods.map(({ name }) => name).sort();
  const nodePort = nodePortOf(WEB);
  const { clusterIp } = addressesOf(WEB);
  const clients: [Host, string, number, ('http' | 'udp')[]?][] = [
    [stage.client(), stage.node(1).ipv4, nodePort],
    [stage.pod(1, 2), stage.node(1).ipv6, nodePort],
    [stage.node(1), stage.node(1).ipv4, nodePort],
    [stage.pod(1, 2), clusterIp.IPv4, 80, ['http']],
    [stage.pod(1, 2), clusterIp.IPv6, 80, ['http']],
  ];
  for (const [from, address, port, protocols] of clients)
    expect(await answering(from, address, port, wanted.length, protocols), `${from.netns} to ${address}`).toEqual(
      wanted,
    );
}

beforeEach(() => {
  zone = 'zone-a';
});

describe('zones', () => {
  it('keep those whose hints name the zone, when every ready endpoint has hints (R-24)', async () => {
    await apply([
      [here, zones('zone-b')],
      [there, zones('zone-a')],
      [far, zones('zone-c', 'zone-a')],
    ]);
    await expectServing(there, far);
  });

  it('do not count when one ready endpoint has none (R-24)', async () => {
    await apply([[here, zones('zone-b')], [there, zones('zone-a')], [far]]);
    await expectServing(here, there, far);
  });

  it('count when only an endpoint that is not ready has none (R-24)', async () => {
    await apply([
      [here, zones('zone-b')],
      [there, zones('zone-a')],
      [{ pod: far, conditions: { ready: false, serving: true, terminating: true } }],
    ]);
    await expectServing(there);
  });

  it('do not count when none names the zone (R-24)', async () => {
    await apply([
      [here, zones('zone-b')],
      [there, zones('zone-c')],
    ]);
    await expectServing(here, there);
  });

  it('follow the label of the Node, live, and are not looked at without one (R-25)', async () => {
    const hinted: Hinted[] = [
      [here, zones('zone-a')],
      [there, zones('zone-b')],
    ];
    await apply(hinted);
    await expectServing(here);
    zone = 'zone-b';
    await apply(hinted);
    await expectServing(there);
    zone = undefined;
    await apply(hinted);
    await expectServing(here, there);
  });

  it('are ignored when only terminating endpoints are left (R-19)', async () => {
    const conditions = { ready: false, serving: true, terminating: true };
    await apply([
      [{ pod: here, conditions }, zones('zone-b')],
      [{ pod: there, conditions }, zones('zone-a')],
    ]);
    await expectServing(here, there);
  });
});

describe('nodes', () => {
  it('keep those whose hints name the node, before any zone (R-24)', async () => {
    await apply([
      [here, { ...nodes('node2'), ...zones('zone-a') }],
      [there, { ...nodes('node1'), ...zones('zone-b') }],
    ]);
    await expectServing(there);
  });

  it('leave it to the zones when none names the node, or one endpoint has no node (R-24)', async () => {
    await apply([
      [here, { ...nodes('node3'), ...zones('zone-b') }],
      [there, { ...nodes('node2'), ...zones('zone-a') }],
    ]);
    await expectServing(there);
    await apply([
      [here, { ...nodes('node1'), ...zones('zone-b') }],
      [there, zones('zone-a')],
    ]);
    await expectServing(there);
  });
});

it('trafficDistribution without hints changes nothing (R-26)', async () => {
  await apply([[here], [there]], { trafficDistribution: 'PreferClose' });
  await expectServing(here, there);
});

it('a Local policy knows no topology (R-27)', async () => {
  await apply(
    [
      [here, zones('zone-b')],
      [stage.pod(1, 2), zones('zone-a')],
      [there, zones('zone-a')],
    ],
    { externalTrafficPolicy: 'Local', internalTrafficPolicy: 'Local' },
  );
  const local = [here.name, stage.pod(1, 2).name].sort();
  expect(await answering(stage.client(), stage.node(1).ipv4, nodePortOf(WEB), local.length)).toEqual(local);
  const near = [there.name, stage.pod(1, 2).name].sort();
  // The cluster list, with its hints.
  expect(await answering(stage.pod(1, 2), stage.node(1).ipv4, nodePortOf(WEB), near.length)).toEqual(near);
  const names = await Promise.all(
    Array.from({ length: 16 }, () =>
      ask({ from: stage.pod(1, 2), protocol: 'http', address: addressesOf(WEB).clusterIp.IPv6, port: 80 }, ''),
    ),
  );
  expect([...new Set(names.map(whoAnswers))].sort()).toEqual(local);
});
