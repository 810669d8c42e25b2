/** The command `sluice`: the CLI, and behind `sluice agent` the agent. */
import { version } from '../package.json';
import { runCli } from './cli/run.ts';
import { findObjectDirectory } from './reconcile/datapath.ts';

runCli(process.argv.slice(2), {
  version,
  objectDirectory: findObjectDirectory(__dirname),
  runAgent: async (options) => {
    // Here and not above: a command that reads maps need not load what only the agent uses.
    const { runAgent } = await import('./agent.ts');
    const stop = new AbortController();
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort());
    await runAgent(options, findObjectDirectory(__dirname), stop.signal);
    return 0;
  },
}).then(
  // Not process.exit alone: what was written to a pipe must arrive first.
  (code) => process.stdout.write('', () => process.exit(code)),
);
