/** A bpffs, a cgroup and a network namespace of a test's own, and BPF objects compiled for it. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import koffi from 'koffi';
import { newRunId } from '../../support/run-id.ts';

const repository = fileURLToPath(new URL('../../../', import.meta.url));
const libc = koffi.load('libc.so.6');
const unshare = libc.func('int unshare(int flags)');
const setns = libc.func('int setns(int fd, int type)');
const openFile = libc.func('int open(const char *path, int flags)');
const closeFile = libc.func('int close(int fd)');
const CLONE_NEWNET = 0x40000000;

export function run(command: string, ...args: string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Mounts a bpffs in a directory of its own. */
export function mountBpffs(): { root: string; remove: () => void } {
  const base = join('/run', `sluice-test-${newRunId()}`);
  const mount = join(base, 'bpf');
  mkdirSync(mount, { recursive: true });
  run('mount', '-t', 'bpf', 'bpf', mount);
  return {
    root: join(mount, 'sluice'),
    remove: () => {
      run('umount', mount);
      rmSync(base, { recursive: true });
    },
  };
}

/** Makes a cgroup v2 directory. */
export function makeCgroup(): { path: string; remove: () => void } {
  const mounts = run('findmnt', '-n', '-t', 'cgroup2', '-o', 'TARGET').trim().split('\n');
  const path = join(mounts[0] ?? '/sys/fs/cgroup', `sl-${newRunId()}`);
  mkdirSync(path);
  return { path, remove: () => rmdirSync(path) };
}

/** Runs a command in a cgroup. @returns its standard output. */
export function runIn(cgroup: string, ...command: string[]): string {
  const script = 'echo $$ > "$1/cgroup.procs" && shift && exec "$@"';
  const child = spawnSync('sh', ['-c', script, 'sh', cgroup, ...command], { encoding: 'utf8' });
  return child.stdout + child.stderr;
}

/**
 * Moves this thread, and the children it starts, into a namespace without a name: it is gone as
 * soon as the thread has left it.
 */
export function enterNamespace(): { leave: () => void } {
  const home = openFile('/proc/thread-self/ns/net', 0);
  if (home < 0 || unshare(CLONE_NEWNET) !== 0)
    throw new Error('cannot make a network namespace: run the tests as root');
  run('ip', 'link', 'set', 'lo', 'up');
  return {
    leave: () => {
      if (setns(home, CLONE_NEWNET) !== 0) throw new Error('cannot return to the network namespace of before');
      closeFile(home);
    },
  };
}

/** Index of a device in the namespace entered. */
export function ifindexOf(device: string): number {
  const [link] = JSON.parse(run('ip', '-j', 'link', 'show', 'dev', device)) as { ifindex: number }[];
  return link?.ifindex ?? 0;
}

const HEAD = `
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
`;

/** Compiles C sources to BPF objects in a directory of their own. @param sources by file name without \`.bpf.c\`. */
export function compileObjects(sources: Record<string, string>): { directory: string; remove: () => void } {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-bpf-'));
  for (const [name, body] of Object.entries(sources)) {
    const file = join(directory, `${name}.bpf.c`);
    writeFileSync(file, `${HEAD}\n${body}\nchar LICENSE[] SEC("license") = "Dual MIT/GPL";\n`);
    const include = [
      '-I',
      join(repository, 'maps-schema/gen'),
      '-I',
      join(repository, 'bpf'),
      '-I',
      '/usr/include/x86_64-linux-gnu',
      '-I',
      '/usr/include/aarch64-linux-gnu',
    ];
    run(
      'clang',
      '-O2',
      '-g',
      '-target',
      'bpf',
      '-mcpu=v3',
      ...include,
      '-c',
      file,
      '-o',
      join(directory, `${name}.bpf.o`),
    );
  }
  return { directory, remove: () => rmSync(directory, { recursive: true }) };
}

/** C that includes the schema with its maps and declares the knobs. */
export const SCHEMA = '#define SLUICE_MAPS\n#include "schema.h"\nconst volatile struct knobs knobs = {};\n';

/** Small maps: tests need no hundred megabytes. */
export const SMALL_MAPS = {
  frontends: 1024,
  backendSlots: 4096,
  backendStates: 4096,
  affinities: 1024,
  affinityMembers: 1024,
  sourceRanges: 1024,
  /** Buckets of 16 flows. */
  flows: 64,
  /** Buckets of 32 flows. */
  halfOpenFlows: 32,
  sockFlows: 1024,
  sockPeers: 1024,
  servicePorts: 1024,
} as const;
