/** What every command is given. */
import { resolve } from 'node:path';
import { InvalidArgumentError, Option } from 'commander';
import type { Maps } from '../bpf/open-maps.ts';
import type { Verified, VerifyRequest } from '../verify/verify.ts';
import type { AgentOptions } from './agent-options.ts';
import type { Kernel } from './kernel.ts';
import type { Sink } from './sink.ts';

export interface CliContext {
  readonly out: Sink;
  readonly err: Sink;
  readonly kernel: Kernel;
  /** Runs the agent until it is told to end. @returns the exit code. */
  readonly runAgent: (options: AgentOptions) => Promise<number>;
  /** Compares what is in force with what is wanted. */
  readonly verify: (request: VerifyRequest) => Promise<Verified>;
  /** Name of the machine. */
  readonly hostname: () => string;
  readonly version: string;
  /** Where the compiled programs are. */
  readonly objectDirectory: string;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Waits so many milliseconds. @returns false when it is enough. */
  readonly wait: (ms: number) => Promise<boolean>;
  /** Aborts when the process is asked to end (SIGINT, SIGTERM), which from then on is for the command to do. */
  readonly interruption: () => AbortSignal;
  /** Is a person before it: a terminal, no pipe? */
  readonly terminal: boolean;
  /** Runs another command line. @returns what it printed. */
  readonly run: (words: readonly string[]) => Promise<{ readonly out: string; readonly err: string }>;
  /** Called by the command that ran. */
  readonly exit: (code: number) => void;
}

export const DEFAULT_BPF_ROOT = '/sys/fs/bpf/sluice';

/** @returns the option of every command that reads or writes pins. */
export function bpfRootOption(): Option {
  return new Option('--bpf-root <directory>', 'where maps, links and programs are pinned')
    .default(DEFAULT_BPF_ROOT)
    .argParser((text) => {
      if (text === '') throw new InvalidArgumentError('It must name a directory.');
      return resolve(text);
    });
}

/** Opens the maps, and closes them whatever happens. */
export async function withMaps<T>(
  context: CliContext,
  root: string,
  use: (maps: Maps) => Promise<T>,
  write = false,
): Promise<T> {
  const maps = context.kernel.openMaps(root, write);
  try {
    return await use(maps);
  } finally {
    maps.close();
  }
}
