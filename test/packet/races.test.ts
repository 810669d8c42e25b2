/**
 * Two CPUs at the same moment: a dead connection's port that both want, and an answer that comes while its flow moves from
 * the table of half-open flows to the other. The programs are compiled with a pause between what is judged and written.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  FLOW_REPLY,
  FLOW_SNAT,
  FRONTEND_LOAD_BALANCER,
  FRONTEND_SNAT_HOST,
  FRONTEND_SNAT_OUTSIDE,
  FRONTEND_SNAT_POD,
} from '../../maps-schema/gen/codecs.ts';
import { testRun } from '../../src/bpf/test-run.ts';
import { packet } from '../support/packet/builder.ts';
import { BRIDGE, CLIENT, POD } from '../support/packet/network.ts';
import { parseFrame, tupleText } from '../support/packet/parser.ts';
import { race } from '../support/packet/race.ts';
import { createPacketRig, type PacketRig, skbContext } from '../support/packet/rig.ts';
import { backend, frontend, service } from '../support/packet/services.ts';

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));
/** Helper calls: some microseconds. */
const PAUSE = 150;
const VIP = '203.0.113.1';
const FLAGS = FRONTEND_LOAD_BALANCER | FRONTEND_SNAT_POD | FRONTEND_SNAT_HOST | FRONTEND_SNAT_OUTSIDE;
const PAIRS = 1500;
const FIRST_PORT = 33_000;
let rig: PacketRig;
let directory: string;

const tcp = (from: string, to: string, sport: number, dport: number, flags: string) =>
  packet(from, to).tcp(sport, dport, flags).build();
const ports = Array.from({ length: PAIRS }, (_, i) => FIRST_PORT + i);

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'sluice-races-'));
  cpSync(join(REPOSITORY, 'dist/bpf'), directory, { recursive: true });
  const include = [
    '-I',
    'maps-schema/gen',
    '-I',
    'bpf',
    '-I',
    `/usr/include/${process.arch === 'x64' ? 'x86_64' : 'aarch64'}-linux-gnu`,
  ];
  for (const [object, define] of [
    ['tc', []],
    ['tc-conntrack', ['-DSLUICE_CONNTRACK']],
  ] as const) {
    const flags = ['-O2', '-g', '-target', 'bpf', '-mcpu=v3', ...include, ...define, `-DRACE_PAUSE=${PAUSE}`];
    const output = join(directory, `${object}.bpf.o`);
    execFileSync('clang', [...flags, '-c', 'bpf/tc.bpf.c', '-o', output], { cwd: REPOSITORY });
  }
  rig = await createPacketRig({}, 'tc', { flows: 4096, halfOpenFlows: 2048 }, directory);
}, 240_000);
afterAll(() => {
  rig?.remove();
  rmSync(directory, { recursive: true, force: true });
});

describe.runIf(availableParallelism() > 1)('two CPUs (one cannot show it)', () => {
  const serve = () => {
    rig.serve(service('a', { frontends: [frontend(VIP, 80, { flags: FLAGS })], cluster: [backend(POD[4])] }));
  };

  it('of two who find one port dead, one has it', { timeout: 200_000 }, async () => {
    serve();
    const node0 = skbContext(rig.ifindex('node0'));
    const ingress = rig.program('ingress');
    for (const port of ports) testRun(ingress, { data: tcp('198.51.100.1', VIP, port, 80, 'S'), context: node0 });
    for (const { key, flow } of rig.flows('halfOpenFlows'))
      rig.putFlow('halfOpenFlows', { key, flow: { ...flow, lastSeen: (flow.lastSeen - 200_000) >>> 0 } });
    const clients = ['198.51.100.2', '198.51.100.3'];
    await race(
      ingress,
      clients.map((client) => ports.map((port) => tcp(client, VIP, port, 80, 'S'))),
    );
    const mine = rig
      .flows('halfOpenFlows')
      .filter(({ key, flow }) => flow.flags & FLOW_SNAT && !(flow.flags & FLOW_REPLY) && clients.includes(key.saddr));
    // Each connection is there, and no port of the node's is one of two.
    expect(mine).toHaveLength(2 * PAIRS);
    expect(new Set(mine.map(({ flow }) => flow.sport)).size).toBe(2 * PAIRS);
  });

  it('an answer is carried while its flow is promoted', { timeout: 200_000 }, async () => {
    serve();
    const node0 = skbContext(rig.ifindex('node0'));
    const pod0 = skbContext(rig.ifindex('pod0'));
    const ingress = rig.program('ingress');
    const egress = rig.program('egress');
    for (const port of ports) {
      const syn = testRun(ingress, { data: tcp(CLIENT[4], VIP, port, 80, 'S'), context: node0 }).data;
      const out = skbContext(rig.ifindex('pod0'), rig.ifindex('node0'));
      testRun(egress, { data: Buffer.from(syn), context: out });
      const answer = testRun(ingress, { data: tcp(POD[4], BRIDGE[4], 8080, port, 'S.'), context: pod0 }).data;
      const back = skbContext(rig.ifindex('node0'), rig.ifindex('pod0'));
      testRun(egress, { data: Buffer.from(answer), context: back });
    }
    const [, answers] = await race(ingress, [
      ports.map((port) => tcp(CLIENT[4], VIP, port, 80, '.')),
      ports.map((port) => tcp(POD[4], BRIDGE[4], 8080, port, '.')),
    ]);
    const carried = (answers ?? []).map((frame) => tupleText(parseFrame(frame)));
    expect(carried.filter((tuple, i) => tuple !== `${POD[4]} 8080 > ${CLIENT[4]} ${FIRST_PORT + i}`)).toEqual([]);
  });
});
