/** Compiles the load generator, the packet generator and the restoring wrapper into build/bench. */
import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const here = fileURLToPath(new URL('.', import.meta.url));
const output = fileURLToPath(new URL('../../build/bench', import.meta.url));

export interface LoadTools {
  /** The program `load`. */
  readonly load: string;
  /** The packet generator's object. */
  readonly flood: string;
  /** The object of the programs that restore a packet before each run. */
  readonly restore: string;
}

/** @throws Error when no compiler is there or it refuses */
export async function buildLoadTools(): Promise<LoadTools> {
  mkdirSync(output, { recursive: true });
  const sources = readdirSync(here).filter((file) => file.endsWith('.c'));
  const load = join(output, 'load');
  const [flood, restore] = ['flood', 'restore'].map((name) => join(output, `${name}.bpf.o`)) as [string, string];
  const clang = process.env.CLANG ?? 'clang';
  const compile = async (...args: string[]) => {
    try {
      await execute(clang, args, { cwd: here });
    } catch (error) {
      throw new Error(`compile the load generator: ${(error as Error).message}; run make setup`, { cause: error });
    }
  };
  await compile('-O2', '-Wall', '-Wextra', '-Werror', '-o', load, ...sources, '-lbpf');
  const include = `/usr/include/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`;
  const target = ['-O2', '-g', '-target', 'bpf', '-mcpu=v3', '-Wall', '-I', include];
  await compile(...target, '-c', '../bpf/flood.bpf.c', '-o', flood);
  await compile(...target, '-c', '../bpf/restore.bpf.c', '-o', restore);
  return { load, flood, restore };
}
