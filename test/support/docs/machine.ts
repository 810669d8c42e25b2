/** The machines of a page: a node of the lab with a root file system of its own, and who dials it. */
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Host } from '../lab/host.ts';
import type { Lab } from '../lab/lab.ts';
import { netnsPath } from '../lab/names.ts';
import type { LabNode } from '../lab/node.ts';
import { REPOSITORY } from './repository.ts';
import { Session } from './session.ts';

const MACHINE = fileURLToPath(new URL('machine.sh', import.meta.url));
/** Commands that stand for what the lab has not: helm, for instance. */
const COMMANDS = fileURLToPath(new URL('bin', import.meta.url));

const NAMESPACES = ['--mount', '--pid', '--cgroup', '--ipc', '--uts', '--fork', '--kill-child'];
/** The cgroup namespace begins at the node's subtree: its root is what an agent on the node finds as the root. */
const ENTER = `echo $$ > "$1/cgroup.procs" && shift && exec nsenter --net="$@"`;

/** A shell of root on a node: its own root file system, processes and host name; the lab's network. */
export function openNode(lab: Lab, node: LabNode, env: Readonly<Record<string, string>> = {}): Session {
  const scratch = join(lab.directory, `machine-${node.name}`);
  mkdirSync(scratch, { recursive: true });
  const enter = ['sh', node.cgroupRoot, netnsPath(node.netns), '--', 'unshare', ...NAMESPACES];
  const machine = ['sh', MACHINE, scratch, REPOSITORY.replace(/\/$/, ''), node.name, COMMANDS];
  return new Session(
    spawn('sh', ['-c', ENTER, ...enter, ...machine], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { PATH: process.env.PATH, ...env },
    }),
  );
}

/** A shell on a host that is no node. */
export function openHost(host: Host): Session {
  return new Session(host.spawn(['bash', '--norc', '--noprofile'], { stdio: ['pipe', 'pipe', 'pipe'] }));
}
