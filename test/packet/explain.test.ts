/** `sluice explain --run`: programs beside those in force do what those do, and change nothing of the node. */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  FRONTEND_CLUSTER_IP,
  FRONTEND_EXTERNAL_DROP,
  FRONTEND_EXTERNAL_LOCAL,
  FRONTEND_LOAD_BALANCER,
  FRONTEND_NODE_PORT,
  FRONTEND_SNAT_HOST,
  FRONTEND_SNAT_OUTSIDE,
  FRONTEND_SNAT_POD,
  FRONTEND_SOURCE_RANGES,
} from '../../maps-schema/gen/codecs.ts';
import { createRehearsal, type Rehearsal } from '../../src/bpf/rehearsal.ts';
import { readDevices } from '../../src/cli/explain/client.ts';
import { explain } from '../../src/cli/explain/explain.ts';
import { firstFrame } from '../../src/cli/explain/frame.ts';
import { rehearse, whyNotRehearsed } from '../../src/cli/explain/rehearse.ts';
import { parseRequest } from '../../src/cli/explain/request.ts';
import { readRoutes } from '../../src/cli/routes.ts';
import { CLIENT, MACS, NODE, OTHER_POD, POD, REMOTE_POD } from '../support/packet/network.ts';
import { createPacketRig, DEFAULT_KNOBS, type PacketRig } from '../support/packet/rig.ts';
import { backend, frontend, remote, service } from '../support/packet/services.ts';

const SNAT_ALL = FRONTEND_SNAT_POD | FRONTEND_SNAT_HOST | FRONTEND_SNAT_OUTSIDE;
const FAMILIES = [4, 6] as const;
const VIP = { 4: '10.96.0', 6: 'fd00:10:96:' } as const;
const ANY = { 4: '0.0.0.0', 6: '::' } as const;
const vip = (family: 4 | 6, n: number) => (family === 4 ? `${VIP[4]}.${n}` : `${VIP[6]}:${n}`);

let rig: PacketRig;
let rehearsal: Rehearsal;

beforeAll(async () => {
  rig = await createPacketRig();
  const services = FAMILIES.flatMap((family) =>
    (['TCP', 'UDP'] as const).flatMap((protocol) => {
      const name = (what: string) => `${what}-${protocol.toLowerCase()}-${family}`;
      const cluster = [backend(POD[family]), remote(REMOTE_POD[family])];
      const local = {
        flags: FRONTEND_LOAD_BALANCER | FRONTEND_EXTERNAL_LOCAL | FRONTEND_SNAT_HOST,
        external: 'local' as const,
      };
      return [
        service(name('web'), {
          protocol,
          frontends: [
            frontend(vip(family, 1), 80, { flags: FRONTEND_CLUSTER_IP | FRONTEND_SNAT_HOST | FRONTEND_SNAT_OUTSIDE }),
            frontend(ANY[family], 30080, { flags: FRONTEND_NODE_PORT | SNAT_ALL }),
            frontend(vip(family, 2), 80, local),
          ],
          cluster,
          local: [backend(POD[family])],
        }),
        service(name('empty'), { protocol, frontends: [frontend(vip(family, 3), 80)] }),
        service(name('elsewhere'), {
          protocol,
          frontends: [frontend(vip(family, 4), 80, { ...local, flags: local.flags | FRONTEND_EXTERNAL_DROP })],
          cluster: [remote(REMOTE_POD[family])],
        }),
        service(name('closed'), {
          protocol,
          frontends: [
            frontend(vip(family, 5), 80, { flags: FRONTEND_LOAD_BALANCER | SNAT_ALL | FRONTEND_SOURCE_RANGES }),
          ],
          cluster,
        }),
        service(name('sticky'), {
          protocol,
          frontends: [frontend(vip(family, 6), 80, { flags: FRONTEND_LOAD_BALANCER | SNAT_ALL })],
          cluster,
          affinitySeconds: 60,
        }),
      ];
    }),
  );
  rig.serve(...services);
  const objectDirectory = fileURLToPath(new URL('../../dist/bpf', import.meta.url));
  rehearsal = await createRehearsal({ pinDirectory: rig.pinDirectory, objectDirectory, knobs: DEFAULT_KNOBS });
});
afterAll(() => {
  rehearsal?.close();
  rig?.remove();
});

interface Case {
  readonly from: string;
  readonly port: number;
  readonly to: string;
  readonly number: number;
  readonly protocol: 'TCP' | 'UDP';
}

const cases: Case[] = FAMILIES.flatMap((family) =>
  [CLIENT[family], OTHER_POD[family], POD[family]].flatMap((from) =>
    (['TCP', 'UDP'] as const).flatMap((protocol) => {
      const dialled = [1, 2, 3, 4, 5, 6].map((n): [string, number] => [vip(family, n), 80]);
      const more: [string, number][] = [
        [NODE[family], 30080],
        [NODE[family], 22],
        [vip(family, 1), 81],
      ];
      return [...dialled, ...more].flatMap(([to, number]) =>
        [40_000, 40_001, 40_002, 40_003].map((port) => ({ from, port, to, number, protocol })),
      );
    }),
  ),
);

function told({ from, port, to, number, protocol }: Case) {
  const bracketed = (address: string) => (address.includes(':') ? `[${address}]` : address);
  const request = parseRequest(`${bracketed(from)}:${port}`, `${bracketed(to)}:${number}/${protocol}`);
  const sight = {
    maps: rig.maps,
    knobs: DEFAULT_KNOBS,
    report: undefined,
    routes: readCached,
    monotonic: process.hrtime.bigint(),
    clock: undefined,
  };
  return explain(sight, request);
}

const routes = new Map<string, ReturnType<typeof readRoutes>>();
function readCached(addresses: readonly string[]) {
  const key = addresses.join();
  const known = routes.get(key) ?? readRoutes(addresses);
  routes.set(key, known);
  return known;
}

it('the programs, the tables and what the node does agree; and the node is as before', () => {
  const device = (from: string) => (Object.values(CLIENT).includes(from as never) ? 'node0' : 'pod0');
  const before = { counters: rig.counters(), known: Buffer.from(rig.maps.knownAddresses.view) };
  const differ: string[] = [];
  const reasons = new Map<Case, string>();
  for (const one of cases) {
    const explained = told(one);
    expect(whyNotRehearsed(explained)).toBeUndefined();
    const towards = readCached(explained.backends.map(({ address }) => address));
    const ran = rehearse(rehearsal, explained, readCached([one.from]).get(one.from), towards, readDevices(rig.maps));
    const name = JSON.stringify(one);
    reasons.set(one, ran.reason);
    if (!ran.agrees || (explained.reason ?? '') !== ran.reason)
      differ.push(`${name}: tables ${explained.verdict} ${explained.reason}, programs ${JSON.stringify(ran)}`);
  }
  expect(differ).toEqual([]);
  expect([...new Set(reasons.values())].sort()).toEqual([
    '',
    'DROP_NO_LOCAL_BACKEND',
    'DROP_SOURCE_RANGE',
    'NEW_FLOW',
    'REJECT_NO_BACKEND',
    'REJECT_NO_PORT',
  ]);
  expect(rig.counters()).toEqual(before.counters);
  expect(rig.maps.knownAddresses.view.equals(before.known)).toBe(true);
  expect([...rig.flows('flows'), ...rig.flows('halfOpenFlows')]).toEqual([]);
  expect([...rig.maps.affinities.entries()]).toEqual([]);
  expect(readdirSync(rig.pinDirectory).filter((entry) => entry.startsWith('rehearsal'))).toEqual([]);
  // The same packets through the programs in force.
  for (const [one, reason] of reasons) {
    rig.forgetFlows();
    const { from, port: sourcePort, to, number, protocol } = one;
    const frame = firstFrame(
      { source: from, sourcePort, destination: to, destinationPort: number },
      protocol,
      MACS.node,
    );
    const real = rig.ingress(frame, { device: device(from), way: 'tc' });
    expect([one, real.reasons]).toEqual([one, reason === '' ? [] : [reason]]);
    // A checksum that does not hold is told here.
    if (reason === 'NEW_FLOW') real.parsed();
  }
});
