/** The command `sluice`: the CLI, and behind `sluice agent` the agent. */
import { version } from '../package.json';
import { runCli } from './cli/run.ts';
import { type Sink, streamSink } from './cli/sink.ts';
import { findObjectDirectory } from './reconcile/datapath.ts';

/** Where the agent complains: nobody may read it, and that must not keep the process. */
let lastWords: Sink | undefined;
let stderr: Sink | undefined;

function errors(): Sink {
  if (lastWords !== undefined) return lastWords;
  stderr ??= streamSink(process.stderr);
  return stderr;
}

runCli(process.argv.slice(2), {
  version,
  objectDirectory: findObjectDirectory(__dirname),
  err: { write: (text) => errors().write(text) },
  runAgent: async (options) => {
    // Here and not above: a command that reads maps need not load what only the agent uses.
    const agent = await import('./agent.ts');
    lastWords = agent.lastWords();
    const stop = new AbortController();
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort());
    await agent.runAgent(options, findObjectDirectory(__dirname), stop.signal);
    return 0;
  },
}).then((code) => {
  if (lastWords !== undefined) process.exit(code);
  // Not process.exit alone: what was written to a pipe must arrive first.
  process.stdout.write('', () => process.exit(code));
});
