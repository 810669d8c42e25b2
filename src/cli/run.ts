/** Runs one command line. */
import { hostname } from 'node:os';
import { setTimeout } from 'node:timers/promises';
import type { Verified, VerifyRequest } from '../verify/verify.ts';
import type { AgentOptions } from './agent-options.ts';
import type { CliContext } from './context.ts';
import { describeError, EXIT_OK, exitCodeOf } from './errors.ts';
import { kernel } from './kernel.ts';
import { createProgram } from './program.ts';
import { type Sink, streamSink, textSink } from './sink.ts';

export interface CliDependencies {
  /** Runs the agent until it is told to end. @returns the exit code. */
  readonly runAgent: (options: AgentOptions) => Promise<number>;
  /** Compares what is in force with what is wanted. */
  readonly verify?: (request: VerifyRequest) => Promise<Verified>;
  readonly version: string;
  /** Where the compiled programs are. */
  readonly objectDirectory?: string;
  /** What follows stands in for the machine in tests. */
  readonly out?: Sink;
  readonly err?: Sink;
  readonly kernel?: CliContext['kernel'];
  readonly hostname?: () => string;
  readonly now?: () => number;
  readonly wait?: CliContext['wait'];
  readonly interruption?: CliContext['interruption'];
}

function onSignals(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => controller.abort());
  return controller.signal;
}

/**
 * @param args without the names of node and script.
 * @returns the exit code: 0 done, 1 found something wrong or failed, 2 called wrongly. Never throws.
 */
export async function runCli(args: readonly string[], dependencies: CliDependencies): Promise<number> {
  const out = dependencies.out ?? streamSink(process.stdout);
  const err = dependencies.err ?? streamSink(process.stderr);
  let code = EXIT_OK;
  const context: CliContext = {
    out,
    err,
    kernel: dependencies.kernel ?? kernel,
    runAgent: dependencies.runAgent,
    verify: dependencies.verify ?? (async (request) => (await import('../verify/verify.ts')).verify(request)),
    hostname: dependencies.hostname ?? hostname,
    version: dependencies.version,
    objectDirectory: dependencies.objectDirectory ?? '',
    now: dependencies.now ?? Date.now,
    wait: dependencies.wait ?? (async (ms) => setTimeout(ms, true)),
    terminal: dependencies.out === undefined && process.stdout.isTTY === true,
    interruption: dependencies.interruption ?? onSignals,
    run: async (words) => {
      const [nextOut, nextErr] = [textSink(), textSink()];
      await runCli(words, { ...dependencies, out: nextOut, err: nextErr });
      return { out: nextOut.text, err: nextErr.text };
    },
    exit: (result) => {
      code = result;
    },
  };
  const help: string[] = [];
  const complaints: string[] = [];
  const program = createProgram(context, {
    writeOut: (text) => void help.push(text),
    writeErr: (text) => void complaints.push(text),
    outputError: (text, write) => write(text.replace(/^error: /, 'sluice: ').replace('\n(', ' (')),
  });
  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    code = exitCodeOf(error);
    complaints.push(describeError(error, program.opts<{ debug?: true }>().debug === true));
  }
  try {
    await out.write(help.join(''));
  } catch (error) {
    code = exitCodeOf(error);
    complaints.push(describeError(error, false));
  }
  // When nobody can be told, the code says enough.
  await err.write(complaints.join('')).catch(() => undefined);
  return code;
}
