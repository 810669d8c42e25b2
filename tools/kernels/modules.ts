/** Which kernel modules the guest needs, and in which order they load. */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { run } from './command.ts';

/** Those the kernel has built in are not there as files: that is fine. */
const WANTED = [
  ...['veth', 'bridge', 'br_netfilter', 'dummy', 'nf_conntrack', 'sch_ingress', 'cls_bpf', 'sctp', 'crc32c_generic'],
  ...['8021q', 'bonding', 'macvlan', 'vrf', 'wireguard', 'ipip'],
];

export interface Module {
  readonly name: string;
  /** The ELF file, not compressed. */
  readonly bytes: Buffer;
}

/** Paths of all modules by name. In names `-` and `_` are the same. */
function listModules(directory: string): Map<string, string> {
  const files = readdirSync(directory, { recursive: true, encoding: 'utf8' });
  return new Map(
    files.flatMap((file): [string, string][] => {
      const match = /^(.+)\.ko(?:\.xz|\.zst)?$/.exec(basename(file));
      return match?.[1] === undefined ? [] : [[match[1].replaceAll('-', '_'), join(directory, file)]];
    }),
  );
}

async function readModule(path: string): Promise<Buffer> {
  if (path.endsWith('.ko')) return readFileSync(path);
  const text = await run(path.endsWith('.xz') ? 'xz' : 'zstd', ['-dc', path], { encoding: 'latin1' });
  return Buffer.from(text, 'latin1');
}

/** From .modinfo: `depends=a,b`. */
function dependencies(module: Buffer): string[] {
  const start = module.indexOf('\0depends=', 0, 'latin1');
  if (start < 0) return [];
  const from = start + '\0depends='.length;
  const list = module.toString('latin1', from, module.indexOf(0, from));
  return list === '' ? [] : list.split(',').map((name) => name.replaceAll('-', '_'));
}

/** @returns the modules with all that they need, each after what it needs. */
export async function collectModules(directory: string): Promise<Module[]> {
  const paths = listModules(directory);
  const found = new Map<string, Module>();
  const visit = async (name: string): Promise<void> => {
    const path = paths.get(name);
    if (path === undefined || found.has(name)) return;
    const bytes = await readModule(path);
    for (const dependency of dependencies(bytes)) await visit(dependency);
    found.set(name, { name, bytes });
  };
  for (const name of WANTED) await visit(name);
  return [...found.values()];
}
