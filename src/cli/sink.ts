/** Where a command writes: a stream that is waited for, so that long listings use little memory. */
import { once } from 'node:events';
import type { Writable } from 'node:stream';

export interface Sink {
  /** Resolves when there is room for more. @throws ReaderGone when nobody reads any more (`sluice … | head`). */
  write(text: string): Promise<void>;
}

/** The other end of the pipe was closed: the command ends in silence. */
export class ReaderGone extends Error {}

/** @param stream stdout or stderr of the process. */
export function streamSink(stream: Writable): Sink {
  let failure: Error | undefined;
  stream.on('error', (error: NodeJS.ErrnoException) => {
    failure = error.code === 'EPIPE' ? new ReaderGone('write: the reader is gone', { cause: error }) : error;
  });
  return {
    async write(text) {
      if (failure === undefined && !stream.write(text)) await once(stream, 'drain').catch(() => undefined);
      if (failure !== undefined) throw failure;
    },
  };
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
