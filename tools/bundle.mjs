// Bundles the agent and the CLI into one CommonJS file: dist/sluice.cjs. koffi brings a native
// module and stays outside.
import { build } from 'esbuild';

await build({
  entryPoints: ['src/main.ts'],
  outfile: 'dist/sluice.cjs',
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  sourcemap: true,
  external: ['koffi'],
  logLevel: 'warning',
});
