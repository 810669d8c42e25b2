/** Sections of an output that may be missing. */
import { SluiceError } from '../model/errors.ts';

/** @returns what was read, or undefined when it is not pinned. */
export function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof SluiceError && error.code === 'NOT_RUNNING') return undefined;
    throw error;
  }
}
