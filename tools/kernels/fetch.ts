/** Gets a kernel from Debian's archive, signature checked, into a cache. Nothing is installed on this machine. */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './command.ts';
import type { KernelSource } from './kernels.ts';

const MIRROR = process.env.DEBIAN_MIRROR ?? 'http://deb.debian.org';
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

export interface KernelFiles {
  /** As `uname -r` says it. */
  readonly release: string;
  readonly vmlinuz: string;
  /** Its modules, under `kernel/`. */
  readonly modules: string;
}

/** An apt of its own: sources, lists and downloads under `directory`, no package installed. */
function aptOptions(directory: string): string[] {
  const settings = {
    'Dir::Etc::sourcelist': join(directory, 'sources.list'),
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::Etc::preferences': '/dev/null',
    'Dir::Etc::preferencesparts': '/dev/null',
    'Dir::State': directory,
    'Dir::State::lists': join(directory, 'lists'),
    'Dir::State::status': '/dev/null',
    'Dir::Cache': join(directory, 'cache'),
    'APT::Architecture': 'amd64',
    'APT::Architectures': 'amd64',
    'APT::Sandbox::User': 'root',
    'Acquire::Languages': 'none',
    // Old suites are no longer signed anew.
    'Acquire::Check-Valid-Until': 'false',
  };
  return Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
}

/** The packages with files of the kernel behind a metapackage. */
async function kernelPackages(apt: readonly string[], name: string): Promise<string[]> {
  const depends = await run('apt-cache', [...apt, 'depends', '--no-recommends', '--no-suggests', name]);
  const next = [...depends.matchAll(/^ +(?:Pre)?Depends: (linux-(?:image|binary|modules)-\S+)$/gm)].flatMap(
    (match) => match[1] ?? [],
  );
  const below = await Promise.all(next.map((dependency) => kernelPackages(apt, dependency)));
  return [...new Set([name, ...below.flat()])];
}

async function download(kernel: KernelSource, directory: string): Promise<void> {
  for (const part of ['lists/partial', 'cache/archives/partial', 'root'])
    mkdirSync(join(directory, part), { recursive: true });
  writeFileSync(
    join(directory, 'sources.list'),
    `deb [signed-by=${KEYRING}] ${MIRROR}/${kernel.archive} ${kernel.suite} main\n`,
  );
  const apt = aptOptions(directory);
  await run('apt-get', [...apt, '-qq', 'update']);
  const packages = await kernelPackages(apt, kernel.package);
  await run('apt-get', [...apt, '-qq', 'download', ...packages.slice(1)], { cwd: directory });
  for (const file of readdirSync(directory).filter((name) => name.endsWith('.deb')))
    await run('dpkg-deb', ['-x', join(directory, file), join(directory, 'root')]);
}

/** Up to 6.x the image lies in /boot, from 7.x on beside the modules. */
function findFiles(root: string): KernelFiles {
  const libraries = ['usr/lib/modules', 'lib/modules'].map((path) => join(root, path)).filter(existsSync);
  for (const library of libraries)
    for (const release of readdirSync(library)) {
      const images = [join(root, 'boot', `vmlinuz-${release}`), join(library, release, 'vmlinuz')];
      const vmlinuz = images.find(existsSync);
      if (vmlinuz !== undefined) return { release, vmlinuz, modules: join(library, release, 'kernel') };
    }
  throw new Error(`find a kernel with its modules in ${root}: none; remove it and run again`);
}

/**
 * @param cache a directory that stays: what is there is not fetched again (remove it for newer builds).
 * @throws Error when the archive cannot be reached
 */
export async function fetchKernel(kernel: KernelSource, cache: string): Promise<KernelFiles> {
  const directory = join(cache, kernel.name);
  if (!existsSync(directory)) {
    const fresh = `${directory}.new`;
    rmSync(fresh, { recursive: true, force: true });
    await download(kernel, fresh);
    renameSync(join(fresh, 'root'), directory);
    rmSync(fresh, { recursive: true, force: true });
  }
  return findFiles(directory);
}
