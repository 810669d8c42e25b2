/** The guest's file system: busybox, Node, iproute2, libbpf, what was built, and the smoke test. */
import {
  chmodSync,
  closeSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleGuest } from './bundle-guest.ts';
import { run } from './command.ts';
import type { Module } from './modules.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));

/** Where the repository's files lie in the guest. */
export const GUEST_ROOT = '/sluice';

const PROGRAMS = ['ip', 'tc', 'ss', 'nsenter', 'setpriv'];
/** What busybox stands in for; the tests start these by name. */
const APPLETS = ['sh', 'mount', 'umount', 'cat', 'env', 'readlink', 'dirname', 'sleep', 'ls', 'sysctl'];

async function find(program: string): Promise<string> {
  return realpathSync((await run('sh', ['-c', `PATH=$PATH:/usr/sbin:/sbin command -v ${program}`])).trim());
}

/** The shared libraries of a program or library, as absolute paths. */
async function libraries(file: string): Promise<string[]> {
  const lines = (await run('ldd', [file])).split('\n');
  return lines.flatMap((line) => /(?:=> )?(\/\S+) \(0x/.exec(line)?.[1] ?? []);
}

function copyTo(root: string, file: string, at = file): void {
  const target = join(root, at);
  mkdirSync(dirname(target), { recursive: true });
  if (!existsSync(target)) copyFileSync(realpathSync(file), target);
}

async function addPrograms(root: string): Promise<void> {
  copyTo(root, await find('busybox'), '/bin/busybox');
  for (const applet of APPLETS) symlinkSync('busybox', join(root, 'bin', applet));
  const programs = await Promise.all(PROGRAMS.map(async (name) => [await find(name), `/usr/bin/${name}`] as const));
  const cache = (await run('sh', ['-c', 'PATH=$PATH:/usr/sbin:/sbin ldconfig -p'])).split('\n');
  const libbpf = cache.flatMap((line) => /libbpf\.so\.1 .*x86-64.* => (\S+)/.exec(line)?.[1] ?? [])[0];
  if (libbpf === undefined) throw new Error('find libbpf.so.1: not installed; run "make setup"');
  const all = [...programs, [realpathSync(process.execPath), '/usr/bin/node'] as const, [libbpf, libbpf] as const];
  for (const [file, at] of all) {
    copyTo(root, file, at);
    for (const library of await libraries(file)) copyTo(root, library);
  }
}

async function addSluice(root: string): Promise<void> {
  const to = join(root, GUEST_ROOT);
  for (const path of ['bin/sluice', 'dist/sluice.cjs']) copyTo(to, join(repository, path), path);
  for (const file of readdirSync(join(repository, 'dist/bpf')).filter((name) => name.endsWith('.bpf.o')))
    copyTo(to, join(repository, 'dist/bpf', file), `dist/bpf/${file}`);
  for (const part of ['koffi', '@koromix']) {
    const from = realpathSync(join(repository, 'node_modules', part));
    cpSync(from, join(to, 'node_modules', part), { recursive: true, dereference: true });
  }
  for (const directory of ['test/support/traffic', 'test/support/lab'])
    for (const file of readdirSync(join(repository, directory)).filter((name) => name.endsWith('.mjs')))
      copyTo(to, join(repository, directory, file), `${directory}/${file}`);
  await bundleGuest(repository, GUEST_ROOT, join(to, 'test/kernels/guest.mjs'));
}

/** Packs a directory. The kernel unpacks archives that follow one another. */
async function pack(root: string, archive: string): Promise<void> {
  const output = openSync(archive, 'w');
  try {
    const names = await run('find', ['.', '-mindepth', '1'], { cwd: root });
    await run('cpio', ['-o', '-H', 'newc', '--quiet', '-R', '0:0'], { cwd: root, input: names, output });
  } finally {
    closeSync(output);
  }
}

/** Makes the part that is the same for every kernel. @param work a directory of its own; replaced */
export async function buildBase(work: string): Promise<string> {
  const root = join(work, 'root');
  rmSync(work, { recursive: true, force: true });
  for (const directory of ['bin', 'proc', 'sys', 'dev', 'tmp', 'run', 'etc'])
    mkdirSync(join(root, directory), { recursive: true });
  await addPrograms(root);
  await addSluice(root);
  copyFileSync(join(repository, 'tools/kernels/init.sh'), join(root, 'init'));
  chmodSync(join(root, 'init'), 0o755);
  const archive = join(work, 'base.cpio');
  await pack(root, archive);
  rmSync(root, { recursive: true });
  return archive;
}

/** The whole initramfs of one kernel: the base and its modules. @returns the path; remove it after use */
export async function buildInitramfs(base: string, modules: readonly Module[], name: string): Promise<string> {
  const root = join(dirname(base), `modules-${name}`);
  const directory = join(root, 'modules');
  mkdirSync(directory, { recursive: true });
  for (const module of modules) writeFileSync(join(directory, `${module.name}.ko`), module.bytes);
  writeFileSync(join(directory, 'order'), modules.map((module) => `${module.name}\n`).join(''));
  const archive = `${root}.cpio`;
  await pack(root, archive);
  const whole = join(dirname(base), `initramfs-${basename(name)}.cpio`);
  const output = openSync(whole, 'w');
  try {
    await run('cat', [base, archive], { output });
  } finally {
    closeSync(output);
    rmSync(root, { recursive: true });
    rmSync(archive);
  }
  return whole;
}
