/** Bundles the guest's test: the code of test/ and src/, in one file that needs no loader. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { build, type Plugin } from 'esbuild';

/** Files find others by where they lie in the repository: they go on to believe that they lie there. */
function keepPlaces(repository: string, guestRoot: string): Plugin {
  return {
    name: 'keep-places',
    setup({ onLoad }) {
      onLoad({ filter: /\.ts$/ }, ({ path }) => {
        const url = JSON.stringify(`file://${join(guestRoot, relative(repository, path))}`);
        return { contents: readFileSync(path, 'utf8').replaceAll('import.meta.url', url), loader: 'ts' };
      });
    },
  };
}

/** They need what an emulated guest has not: a worker with a loader of its own, a compiler, a fast machine. */
const NOT_IN_GUEST = ['claims', 'lookups', 'scale'];

function packetTests(repository: string): string[] {
  const names = readdirSync(join(repository, 'test/packet')).flatMap(
    (file) => /^(.+)\.test\.ts$/.exec(file)?.[1] ?? [],
  );
  return names.filter((name) => !NOT_IN_GUEST.includes(name));
}

export async function bundleGuest(repository: string, guestRoot: string, outfile: string): Promise<void> {
  await build({
    entryPoints: [join(repository, 'test/kernels/guest.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    external: ['koffi'],
    alias: { vitest: join(repository, 'test/kernels/vitest.ts') },
    define: { PACKET_TESTS: JSON.stringify(packetTests(repository)) },
    plugins: [keepPlaces(repository, guestRoot)],
    logLevel: 'warning',
  });
}
