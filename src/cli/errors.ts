/** What a command throws when it was called wrongly, and how errors become lines and exit codes. */
import { CommanderError } from 'commander';
import { SluiceError } from '../model/errors.ts';
import { ReaderGone } from './sink.ts';

/** 0: done. 1: found something wrong, or failed. 2: called wrongly. */
export const EXIT_OK = 0;
export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;

/** @returns an error that names the flag that is wrong. */
export function usageError(message: string): SluiceError {
  return new SluiceError('FLAG_INVALID', message);
}

/** @returns the exit code that an error means. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof ReaderGone) return EXIT_OK;
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT_OK : EXIT_USAGE;
  return error instanceof SluiceError && error.code === 'FLAG_INVALID' ? EXIT_USAGE : EXIT_FAILED;
}

/**
 * @param debug with stack and causes
 * @returns lines for stderr, with line feeds; "" when the error was shown already.
 */
export function describeError(error: unknown, debug: boolean): string {
  if (error instanceof CommanderError || error instanceof ReaderGone) return '';
  if (!(error instanceof Error)) return `sluice: ${String(error)}\n`;
  const line = `sluice: ${error.message || error.name}\n`;
  if (debug) return `${line}${stackOf(error)}`;
  // The system says what went wrong; anything else should not have happened.
  const known = error instanceof SluiceError || (error as NodeJS.ErrnoException).syscall !== undefined;
  return known ? line : `${line}This should not have happened: run it again with --debug and report what it says.\n`;
}

function stackOf(error: Error): string {
  const frames = (error.stack ?? '').split('\n').filter((line) => line.startsWith('    at '));
  const own = frames.length === 0 ? '' : `${frames.join('\n')}\n`;
  const { cause } = error;
  if (cause === undefined) return own;
  return `${own}caused by: ${cause instanceof Error ? `${cause.message}\n${stackOf(cause)}` : `${String(cause)}\n`}`;
}
