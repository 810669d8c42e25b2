/** What iproute2 leaves in the machine's bpffs when it loads an object: directories, or the mount itself. */
import { spawnSync } from 'node:child_process';
import { lstatSync, rmdirSync, statfsSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = '/sys/fs/bpf';
const BPF_FS_MAGIC = 0xcafe4a11;
/** In the order in which they can be removed. */
const MADE = ['ip', 'xdp', 'tc/globals', 'tc'];

const isMounted = () => statfsSync(ROOT).type === BPF_FS_MAGIC;
const isThere = (name: string) => lstatSync(join(ROOT, name), { throwIfNoEntry: false }) !== undefined;

/** Call before iproute2 loads an object. @returns a function that removes what was not there before. */
export function watchIprouteBpf(): () => void {
  const mounted = isMounted();
  const missing = MADE.filter((name) => !mounted || !isThere(name));
  return () => {
    for (const name of missing.filter(isThere)) {
      const path = join(ROOT, name);
      if (lstatSync(path).isDirectory()) rmdirSync(path);
      else unlinkSync(path);
    }
    if (!mounted && isMounted()) spawnSync('umount', [ROOT]);
  };
}
