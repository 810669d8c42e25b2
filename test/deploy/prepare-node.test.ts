/** The init step: bpffs and a path to cgroup v2, in a mount namespace of its own, whatever the node has. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { REPOSITORY } from '../support/deploy/manifests.ts';
import { attempt } from '../support/lab/command.ts';

const STEP = join(REPOSITORY, 'tools/image/prepare-node.mjs');
const ARGUMENTS = '--bpf /tmp/node/bpf --cgroup /tmp/node/cgroup --cgroup-link /tmp/node/run/cgroup';

/** Runs the step twice on a node that the lines lay out. @returns what it printed, and the types that it left */
async function prepare(...lines: string[]) {
  const script = [
    'set -eu',
    'mount -t tmpfs tmpfs /tmp && mkdir -p /tmp/node/bpf /tmp/node/cgroup /tmp/node/run',
    ...lines,
    `"$1" "$2" ${ARGUMENTS}; echo again; "$1" "$2" ${ARGUMENTS}`,
    'stat -f -c %T /tmp/node/bpf /tmp/node/run/cgroup; cat /tmp/node/run/cgroup/cgroup.controllers >/dev/null',
  ].join('\n');
  const { code, stdout, stderr } = await attempt('unshare', [
    '--mount',
    'sh',
    '-c',
    script,
    'sh',
    process.execPath,
    STEP,
  ]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout.trim().split('\n');
}

const LEFT = ['again', 'bpf_fs', 'cgroup2fs'];

describe('prepare-node', () => {
  it('version 2: binds it', async () => {
    expect(await prepare('mount -t cgroup2 cgroup2 /tmp/node/cgroup', 'mount -t bpf bpf /tmp/node/bpf')).toEqual([
      'mounted /tmp/node/cgroup at /tmp/node/run/cgroup',
      ...LEFT,
    ]);
  });

  it('version 2 beside version 1, no bpffs: mounts that, and binds unified/', async () => {
    expect(
      await prepare('mkdir /tmp/node/cgroup/unified', 'mount -t cgroup2 cgroup2 /tmp/node/cgroup/unified'),
    ).toEqual(['mounted bpffs at /tmp/node/bpf', 'mounted /tmp/node/cgroup/unified at /tmp/node/run/cgroup', ...LEFT]);
  });

  it('version 1 alone: mounts version 2', async () => {
    expect(await prepare()).toEqual([
      'mounted bpffs at /tmp/node/bpf',
      'mounted cgroup v2 at /tmp/node/run/cgroup',
      ...LEFT,
    ]);
  });

  it('says what it may not, and what is missing', async () => {
    const drop = ['--bounding-set=-sys_admin', '--inh-caps=-all', '--', process.execPath, STEP];
    const refused = await attempt('setpriv', [
      ...drop,
      '--bpf',
      '/nonexistent',
      '--cgroup',
      '/x',
      '--cgroup-link',
      '/tmp',
    ]);
    expect(refused).toMatchObject({ code: 1 });
    expect(refused.stderr).toMatch(/^mount bpffs at \/nonexistent: .*; the container must be privileged\n$/s);
    expect((await attempt(process.execPath, [STEP])).stderr).toBe('prepare the node: --bpf DIR is missing\n');
  });
});
