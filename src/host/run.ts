/** Runs another program and waits for it. */
import { spawnSync } from 'node:child_process';

export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** @returns undefined when there is no program of that name. */
export type Run = (program: string, args: readonly string[], input?: string) => RunResult | undefined;

/** Milliseconds: rules of very many Services take a while to list. */
const TIMEOUT_MS = 120_000;

export const run: Run = (program, args, input) => {
  const result = spawnSync(program, args, {
    input: input ?? '',
    encoding: 'utf8',
    maxBuffer: 1 << 29,
    timeout: TIMEOUT_MS,
  });
  if ((result.error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') return undefined;
  return {
    code: result.status ?? 1,
    stdout: result.stdout ?? '',
    stderr: result.stderr || (result.error?.message ?? ''),
  };
};
