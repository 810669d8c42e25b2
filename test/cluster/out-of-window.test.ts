/**
 * TCP packets outside the window, sent into connections through Services from either end: they arrive
 * translated, so neither end hears from an address that it did not dial, and the connection goes on.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nextHop, sendFrames, sniff } from '../support/cluster/frames.ts';
import { addressesOf, nodePortOf, POD_PORTS, SERVICE_PORTS, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import type { Cni } from '../support/lab/cni.ts';
import type { Host } from '../support/lab/host.ts';
import type { Pod } from '../support/lab/node.ts';
import { poll } from '../support/lab/poll.ts';
import { packet } from '../support/packet/builder.ts';

const FAMILIES = ['IPv4', 'IPv6'] as const;
type Family = (typeof FAMILIES)[number];
const HERE = 11;
const THERE = 12;
const LOCAL = 13;
/** Bytes of payload that nothing else here has. */
const LENGTH = 777;
/** Each at another place of 4 GiB of sequence numbers: none is in the window. */
const STRAYS = [
  ['.', 0x10000000],
  ['P.', 0x7fff0000],
  ['F.', 0xa0000000],
  ['R', 0xf0000000],
] as const;

interface End {
  readonly host: Host;
  readonly address: string;
  readonly port: number;
}

const tuple = (from: Omit<End, 'host'>, to: Omit<End, 'host'>) =>
  `${from.address} ${from.port} > ${to.address} ${to.port}`;

const addressOf = (host: Host, family: Family) => (family === 'IPv4' ? host.ipv4 : host.ipv6);

/** Sends strays from one end. @returns what of them the other end sees */
async function stray(from: End, to: Omit<End, 'host'>, other: Host): Promise<string[]> {
  const { device, macs } = await nextHop(from.host, to.address);
  const { ifindex } = JSON.parse(await other.run(['ip', '-j', 'link', 'show', 'dev', 'eth0']))[0] as {
    ifindex: number;
  };
  const sniffer = await sniff(other, ifindex, LENGTH);
  const frames = STRAYS.map(([flags, seq]) =>
    packet(from.address, to.address)
      .macs(...macs)
      .tcp(from.port, to.port, flags, { seq, ack: seq })
      .payload('x'.repeat(LENGTH))
      .build(),
  );
  await sendFrames(from.host, device, frames);
  await poll('see the strays arrive', () => sniffer.tuples.length >= STRAYS.length).catch(() => {});
  await sniffer.stop();
  return [...sniffer.tuples];
}

describe.each(['bridge', 'routed'] as const)('%s pods', (cni: Cni) => {
  let rig: Rig;

  beforeAll(async () => {
    rig = await createRig({ cni });
    const { lab, manifests } = rig;
    manifests.write('services.json', [
      service('here', HERE),
      ...slices('here', [lab.pod(1, 1)]),
      service('there', THERE),
      ...slices('there', [lab.pod(2, 1)]),
      service('local', LOCAL, { externalTrafficPolicy: 'Local' }),
      ...slices('local', [lab.pod(1, 1)]),
    ]);
    await rig.startAgents({ socketLb: 'host-only' });
  });
  afterAll(() => rig?.lab.destroy());

  const CASES: readonly [string, (family: Family) => { client: Host; backend: Pod; address: string; port: number }][] =
    [
      [
        'outside → NodePort → pod here, the source translated',
        (family) => ({
          client: rig.lab.client(),
          backend: rig.lab.pod(1, 1),
          address: addressOf(rig.lab.node(1), family),
          port: nodePortOf(HERE) + 100,
        }),
      ],
      [
        'outside → NodePort → pod here, its own source',
        (family) => ({
          client: rig.lab.client(),
          backend: rig.lab.pod(1, 1),
          address: addressOf(rig.lab.node(1), family),
          port: nodePortOf(LOCAL) + 100,
        }),
      ],
      [
        'outside → NodePort → pod elsewhere',
        (family) => ({
          client: rig.lab.client(),
          backend: rig.lab.pod(2, 1),
          address: addressOf(rig.lab.node(1), family),
          port: nodePortOf(THERE) + 100,
        }),
      ],
      [
        'pod → ClusterIP → pod here',
        (family) => ({
          client: rig.lab.pod(1, 2),
          backend: rig.lab.pod(1, 1),
          address: addressesOf(HERE).clusterIp[family],
          port: SERVICE_PORTS.tcp,
        }),
      ],
      [
        'pod → ClusterIP → pod elsewhere',
        (family) => ({
          client: rig.lab.pod(1, 2),
          backend: rig.lab.pod(2, 1),
          address: addressesOf(THERE).clusterIp[family],
          port: SERVICE_PORTS.tcp,
        }),
      ],
    ];

  describe.each(CASES)('%s', (_, caseOf) => {
    it.each(FAMILIES)('%s: both ends hear strays from whom they talk to, and go on (R-71)', async (family) => {
      const { client, backend, address, port } = caseOf(family);
      const talk = await client.actor.open('tcp', address, port, { timeoutMs: 10_000 });
      const { who, seenSource = '', seenPort = 0, localPort = 0 } = talk.opened;
      expect(who).toBe(backend.name);
      const frontend = { address, port };
      const near = { host: client, address: addressOf(client, family), port: localPort };
      const far = { host: backend, address: addressOf(backend, family), port: POD_PORTS.tcp };
      const seen = { address: seenSource, port: seenPort };
      const all = (line: string) => STRAYS.map(() => line);
      expect(await stray(far, seen, client)).toEqual(all(tuple(frontend, near)));
      expect(await stray(near, frontend, backend)).toEqual(all(tuple(seen, far)));
      expect(await talk.exchange({ bytes: 1000, timeoutMs: 10_000 })).toMatchObject({ ok: true });
      await talk.close();
    });
  });
});
