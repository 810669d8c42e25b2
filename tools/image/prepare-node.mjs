/**
 * Makes ready what the agent's container needs of the node, once before the agent starts, in a container that may
 * mount: bpffs, where it is not mounted; and a path that leads to cgroup v2 wherever the node has it.
 *
 * usage: prepare-node.mjs --bpf DIR --cgroup DIR --cgroup-link DIR
 *   --bpf          the node's /sys/fs/bpf
 *   --cgroup       the node's /sys/fs/cgroup: version 2, or version 1 with or without unified/
 *   --cgroup-link  where the agent finds version 2: a bind mount, or a mount of its own
 * All are mounts of the node that hand on what is mounted below them. Run again it changes nothing.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const BPF_FS = 0xcafe4a11;
const CGROUP2 = 0x63677270;

const typeOf = (path) => (existsSync(path) ? statfsSync(path).type >>> 0 : undefined);

/** @throws with one line that says what was tried */
function mount(what, ...args) {
  try {
    execFileSync('mount', args, { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' });
    console.log(`mounted ${what}`);
  } catch (error) {
    throw new Error(`mount ${what}: ${String(error.stderr ?? error.message).trim()}; the container must be privileged`);
  }
}

function prepare({ bpf, cgroup, 'cgroup-link': link }) {
  if (typeOf(bpf) !== BPF_FS) mount(`bpffs at ${bpf}`, '-t', 'bpf', 'bpf', bpf);
  mkdirSync(link, { recursive: true });
  if (typeOf(link) === CGROUP2) return;
  const found = [cgroup, join(cgroup, 'unified')].find((path) => typeOf(path) === CGROUP2);
  if (found !== undefined) mount(`${found} at ${link}`, '--bind', found, link);
  // Only where the node has version 1 alone: there containers share the node's cgroup namespace.
  else mount(`cgroup v2 at ${link}`, '-t', 'cgroup2', 'cgroup2', link);
}

try {
  const text = { type: 'string' };
  const { values } = parseArgs({ options: { bpf: text, cgroup: text, 'cgroup-link': text } });
  for (const name of ['bpf', 'cgroup', 'cgroup-link'])
    if (!values[name]) throw new Error(`prepare the node: --${name} DIR is missing`);
  prepare(values);
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
