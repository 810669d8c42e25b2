// Bundles the agent and the CLI into one CommonJS file: dist/sluice.cjs. koffi brings a native
// module and stays outside.
import { build } from 'esbuild';

/** The Kubernetes client does not say that its 15 MB of models have no side effects: only its KubeConfig is used. */
const shakeClient = {
  name: 'shake-client',
  setup({ onResolve, resolve }) {
    onResolve({ filter: /./ }, async ({ path, pluginData, ...context }) => {
      if (pluginData === 'resolved' || !/client-node/.test(path + context.importer)) return undefined;
      const found = await resolve(path, { ...context, pluginData: 'resolved' });
      return /node_modules\/@kubernetes\/client-node\//.test(found.path) ? { ...found, sideEffects: false } : found;
    });
  },
};

await build({
  entryPoints: ['src/main.ts'],
  outfile: 'dist/sluice.cjs',
  bundle: true,
  platform: 'node',
  target: 'node22',
  format: 'cjs',
  sourcemap: true,
  // The agent holds its own text in memory: half as much without indentation.
  minifyWhitespace: true,
  minifySyntax: true,
  external: ['koffi'],
  // What Node.js has by this name is deprecated, and it says so to whoever runs a command.
  alias: { punycode: 'punycode/punycode.js' },
  plugins: [shakeClient],
  logLevel: 'warning',
});
