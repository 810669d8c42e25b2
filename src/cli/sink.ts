/** Where a command writes: a stream that is waited for, so that long listings use little memory. */
import type { Writable } from 'node:stream';
import { SluiceError } from '../model/errors.ts';

export interface Sink {
  /**
   * Resolves when the text was taken. @throws ReaderGone when nobody reads any more (`sluice … | head`), and an error
   * that says why when it cannot be written: a disk is full.
   */
  write(text: string): Promise<void>;
}

/** The other end of the pipe was closed: the command ends in silence. */
export class ReaderGone extends Error {}

/** @param stream stdout or stderr of the process. */
export function streamSink(stream: Writable): Sink {
  /** The first one says why: later writes say that the stream is closed. */
  let failure: Error | undefined;
  stream.on('error', (error) => {
    failure ??= failureOf(error);
  });
  return {
    write(text) {
      if (text === '') return Promise.resolve();
      return new Promise((resolve, reject) => {
        stream.write(text, (error) => {
          if (error != null) failure ??= failureOf(error);
          if (failure === undefined) resolve();
          else reject(failure);
        });
      });
    },
  };
}

function failureOf(error: NodeJS.ErrnoException): Error {
  if (error.code === 'EPIPE') return new ReaderGone('write: the reader is gone', { cause: error });
  const why = error.code === 'ENOSPC' ? 'no space left on the device' : error.message;
  return new SluiceError('OUTPUT_FAILED', `write the output: ${why}`, { cause: error });
}

/** Keeps what was written: for tests. */
export function textSink(): Sink & { readonly text: string } {
  let text = '';
  return {
    get text() {
      return text;
    },
    async write(more) {
      text += more;
    },
  };
}
