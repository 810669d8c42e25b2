/** `make test-kernels`: what was built on other kernels, one guest after the other. Arguments choose kernels. */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fetchKernel } from './fetch.ts';
import { runGuest, tail } from './guest.ts';
import { buildBase, buildInitramfs } from './initramfs.ts';
import { chooseKernels, type KernelSource } from './kernels.ts';
import { collectModules } from './modules.ts';
import { printKernel } from './print.ts';

const directory = fileURLToPath(new URL('../../dist/kernels', import.meta.url));
const MINUTE = 60_000;
const GUEST_MINUTES = 45;
const CONSOLE_LINES = 40;
/** `CHECKS=load,node` chooses groups of checks (test/kernels/guest.ts), `PACKETS=snat,sctp` files of packet tests. */
const parameters = ['CHECKS', 'PACKETS']
  .flatMap((name) => (process.env[name] === undefined ? [] : `${name}=${process.env[name]}`))
  .join(' ');

/** @returns whether everything went as it should. */
async function testKernel(kernel: KernelSource, base: string): Promise<boolean> {
  const files = await fetchKernel(kernel, join(directory, 'cache'));
  const initramfs = await buildInitramfs(base, await collectModules(files.modules), kernel.name);
  const console = join(directory, `${kernel.name}.console`);
  const results = join(directory, `${kernel.name}.results`);
  for (const file of [console, results]) rmSync(file, { force: true });
  const start = performance.now();
  try {
    const { vmlinuz } = files;
    const timeoutMs = GUEST_MINUTES * MINUTE;
    const end = await runGuest({ vmlinuz, initramfs, console, results, timeoutMs, parameters });
    const seconds = (performance.now() - start) / 1000;
    return printKernel({ name: kernel.name, release: files.release, seconds, ...end }, () =>
      tail(console, CONSOLE_LINES),
    );
  } finally {
    rmSync(initramfs, { force: true });
  }
}

// An exit ends the guest too (guest.ts).
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)
  process.once(signal, () => process.exit(code));

const kernels = chooseKernels(process.argv.slice(2));
mkdirSync(directory, { recursive: true });
const base = await buildBase(join(directory, 'work'));
let failed = 0;
try {
  for (const kernel of kernels) if (!(await testKernel(kernel, base))) failed++;
} finally {
  rmSync(join(directory, 'work'), { recursive: true, force: true });
}
process.stdout.write(failed === 0 ? 'every kernel passed\n' : `${failed} of ${kernels.length} kernels failed\n`);
process.exitCode = failed === 0 ? 0 : 1;
