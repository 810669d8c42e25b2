import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import { run } from '../../support/lab/command.ts';
import { createLab, type Lab } from '../../support/lab/lab.ts';
import { cleanLeftovers, destroyLab, listLabs, listLeftovers } from '../../support/lab/leftovers.ts';
import { cgroup2Root } from '../../support/lab/names.ts';
import type { Pod } from '../../support/lab/node.ts';
import { newRunId } from '../../support/run-id.ts';

const labModule = fileURLToPath(new URL('../../support/lab/lab.ts', import.meta.url));
let made: string[] = [];

afterEach(async () => {
  await Promise.all(made.map(destroyLab));
  made = [];
});

async function smallLab(): Promise<Lab> {
  const lab = await createLab({ nodes: 1, podsPerNode: 1 });
  made.push(lab.id);
  return lab;
}

it('leaves nothing behind, though processes still run in it', async () => {
  const lab = await smallLab();
  const sleeper = lab.pod(1, 1).spawn(['sleep', '1000'], { stdio: 'ignore' });
  await lab.pod(1, 1).actor.serve({ tcp: [80] });
  const before = listLeftovers(lab.id);
  expect(before).toContain(`namespace sl-${lab.id}-node1-pod1`);
  expect(before).toContain(`process ${sleeper.pid}`);
  await lab.destroy();
  expect(listLeftovers(lab.id)).toEqual([]);
  await lab.destroy();
});

it('removes a lab whose owner was killed, and no other', async () => {
  const mine = await smallLab();
  const id = newRunId();
  made.push(id);
  const script = `import(${JSON.stringify(labModule)}).then(async ({ createLab }) => {
    const lab = await createLab({ id: '${id}', nodes: 1, podsPerNode: 1 });
    await lab.pod(1, 1).actor.serve({ tcp: [80] });
    console.log('up');
    setInterval(() => {}, 1000);
  })`;
  const owner = spawn(process.execPath, ['--import', 'tsx', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(owner.stdout, 'data');
  expect(await cleanLeftovers()).not.toContain(id);
  owner.kill('SIGKILL');
  await once(owner, 'exit');
  expect(await cleanLeftovers()).toContain(id);
  expect(listLeftovers(id)).toEqual([]);
  expect(listLabs()).toContain(mine.id);
});

it('gives a removed pod no address, no device and no process', async () => {
  const lab = await smallLab();
  const node = lab.node(1);
  const [pod] = await node.addPods(['extra']);
  await pod?.actor.serve({ tcp: [80] });
  const dial = () => lab.pod(1, 1).actor.tcp(pod?.ipv4 ?? '', 80, { timeoutMs: 200 });
  expect((await dial()).ok).toBe(true);
  await node.removePod('extra');
  expect((await dial()).ok).toBe(false);
  expect(existsSync(pod?.cgroup ?? '/')).toBe(false);
  expect(await node.run(['ip', '-o', 'link'])).not.toContain(pod?.device);
  expect(() => node.pod('extra')).toThrow(/find pod extra on node1: it has pod1/);
});

it('lets people enter its hosts with a script', async () => {
  const lab = await smallLab();
  const [hostPod] = await lab.node(1).addPods(['agent'], { hostNetwork: true });
  for (const host of [lab.node(1), lab.pod(1, 1), lab.client(), hostPod as Pod]) {
    const out = await run(join(lab.directory, 'enter'), [host.name, 'sh', '-c', 'ip -o addr; cat /proc/self/cgroup']);
    expect(out).toContain(` ${host.ipv4}/`);
    expect(out).toContain(`0::${host.cgroup.slice(cgroup2Root().length)}`);
  }
});

it('refuses an id that names cannot carry, and one that is taken', async () => {
  await expect(createLab({ id: 'Not/An-Id' })).rejects.toThrow(/use a run id/);
  const lab = await smallLab();
  await expect(createLab({ id: lab.id })).rejects.toThrow(/there is one of that name/);
  expect((await lab.pod(1, 1).exec(['true'])).code).toBe(0);
});
