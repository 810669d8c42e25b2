/** One open watch, as faults see it: bytes can be held back, cut in pieces, or stopped. */
import type { ServerResponse } from 'node:http';

export interface Stream {
  /** e.g. `services` */
  readonly resource: string;
  /** What is written in one turn of the event loop goes out together. */
  write(text: string | Buffer): void;
  /** Ends the response after what was written. */
  end(): void;
  /** Cuts the connection. */
  reset(): void;
  /** From now on nothing is sent any more, and the connection stays open. */
  stall(): void;
  onClose(callback: () => void): void;
  /** Sends a bookmark; absent when the client did not ask for them. */
  bookmark: (() => void) | undefined;
}

/** @param pieceBytes asked before each write: the size of the pieces that the bytes go out in, one a turn; undefined: whole */
export function createStream(resource: string, response: ServerResponse, pieceBytes: () => number | undefined): Stream {
  let queue: Buffer[] = [];
  let pumping = false;
  let ending = false;
  let stalled = false;

  function pump(): void {
    pumping = false;
    if (stalled) return;
    const size = pieceBytes();
    const bytes = Buffer.concat(queue);
    queue = [];
    if (size !== undefined && bytes.length > size) {
      response.write(bytes.subarray(0, size));
      queue.push(bytes.subarray(size));
      schedule();
      return;
    }
    if (bytes.length > 0) response.write(bytes);
    if (ending) response.end();
  }

  function schedule(): void {
    if (pumping) return;
    pumping = true;
    setImmediate(pump);
  }

  return {
    resource,
    write(text) {
      if (stalled || ending) return;
      queue.push(typeof text === 'string' ? Buffer.from(text) : text);
      schedule();
    },
    end() {
      ending = true;
      schedule();
    },
    reset: () => response.socket?.destroy(),
    stall() {
      stalled = true;
    },
    onClose(callback) {
      response.on('close', callback);
    },
    bookmark: undefined,
  };
}
