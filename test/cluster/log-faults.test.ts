/** A log that cannot be written, or that nobody reads: the agent serves, changes arrive, SIGTERM ends it. */
import { type ChildProcess, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { AgentReport } from '../../src/model/agent-report.ts';
import { sluiceJson } from '../support/cluster/kernel.ts';
import { addressesOf, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import { sluiceCommand } from '../support/lab/agent.ts';
import { poll } from '../support/lab/poll.ts';

let rig: Rig;
let n = 0;

beforeAll(async () => {
  rig = await createRig({ nodes: 1, podsPerNode: 2 });
});
afterAll(() => rig?.lab.destroy());

function spawnAgent(redirection: string): ChildProcess {
  const { lab, manifests, config } = rig;
  const node = lab.node(1);
  const argv = sluiceCommand(
    ...['agent', '--node-name', node.name, '--manifests', manifests.directory, '--config', config],
    ...['--cgroup-root', node.cgroupRoot, '--bpf-root', node.bpfRoot, '--log-level', 'trace'],
  );
  return node.spawn(['sh', '-c', `exec "$@" ${redirection}`, 'sh', ...argv], { stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Writes a Service and dials it until it answers: a change has arrived. */
async function expectChangeArrives(): Promise<void> {
  const { lab, manifests } = rig;
  n++;
  manifests.write('web.json', [service('web', n), ...slices('web', [lab.pod(1, 1)])]);
  const dial = () => lab.pod(1, 2).actor.http(addressesOf(n).clusterIp.IPv4, 80);
  await poll('see the change arrive', async () => (await dial()).ok, { timeoutMs: 60_000 });
}

async function stop(agent: ChildProcess): Promise<number> {
  const start = performance.now();
  const exited = once(agent, 'exit');
  agent.kill('SIGTERM');
  const ended = await Promise.race([exited.then(([code]) => code), delay(8000).then(() => 'hangs')]);
  if (ended === 'hangs') {
    agent.kill('SIGKILL');
    await exited;
  }
  expect(ended).toBe(0);
  return performance.now() - start;
}

const report = async () => (await sluiceJson<{ report: AgentReport }>(rig.lab.node(1), 'status')).report;

it('goes on when the disk of its log is full, and says so in status', async () => {
  const agent = spawnAgent('> /dev/full 2>&1');
  await expectChangeArrives();
  await expectChangeArrives();
  await poll('see it told', async () => {
    const { conditions = [] } = await report();
    return conditions.some(({ what, message }) => what === 'log' && message.includes('no space is left'));
  });
  expect(await stop(agent)).toBeLessThan(5000);
});

it('goes on when nobody reads its log, and counts what it drops', async () => {
  // A pipe that is full already; that it stays open for reading is all that its reader does.
  const pipe = join(rig.manifests.directory, '..', `pipe-${process.pid}`);
  execFileSync('mkfifo', [pipe]);
  const reader = openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK);
  writeSync(reader, Buffer.alloc(64 * 1024, '\n'));
  const agent = spawnAgent(`> ${pipe} 2>&1`);
  await expectChangeArrives();
  // What is wrong with each is told, until the log is told no more of it for a while: more than waits for a pipe.
  const broken = Array.from({ length: 6000 }, (_, i) => ({
    ...service(`broken-${i}-${'x'.repeat(40)}`, 200),
    spec: { clusterIP: 'no address', ports: [{ port: 0, name: 'y'.repeat(300) }] },
  }));
  rig.manifests.write('broken.json', broken);
  await expectChangeArrives();
  await poll(
    'see lines dropped',
    async () => {
      const { conditions = [] } = await report();
      return conditions.some(({ what, message }) => what === 'log' && message.includes('nobody reads it'));
    },
    { timeoutMs: 60_000 },
  );
  await expectChangeArrives();
  expect(await stop(agent)).toBeLessThan(5000);
  closeSync(reader);
  rmSync(pipe);
}, 200_000);
