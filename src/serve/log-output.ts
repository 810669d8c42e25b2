/**
 * Where the log goes, so that it never stops the agent: a disk that is full, a pipe that nobody reads. What cannot be
 * written soon is dropped and counted.
 */
import { writeSync } from 'node:fs';

export interface LogOutput {
  /** One line, with its newline. Returns at once and never throws. */
  write(line: string): void;
  /** Lines that were dropped so far. */
  readonly dropped: number;
  /** Why lines are dropped now; undefined: the last ones were written. */
  readonly trouble: string | undefined;
  /** Writes what waits, as far as that is possible within some milliseconds. */
  close(ms?: number): void;
}

export interface LogOutputOptions {
  readonly fd: number;
  /** Would a write of up to PIECE bytes return at once? */
  readonly writable: (fd: number) => boolean;
  /** @returns bytes written @throws as writeSync does */
  readonly write?: (fd: number, bytes: Buffer) => number;
  /** Bytes that wait for a slow reader at the most. */
  readonly room?: number;
  /** Milliseconds between two tries. */
  readonly retryMs?: number;
}

/** PIPE_BUF: a pipe that can be written takes so many bytes. */
const PIECE = 4096;
const ROOM = 128 * 1024;
const RETRY_MS = 100;
const CLOSE_MS = 500;

export function createLogOutput(options: LogOutputOptions): LogOutput {
  const { fd, writable, write = (to, bytes) => writeSync(to, bytes), room = ROOM, retryMs = RETRY_MS } = options;
  /** What waits; the first may be the rest of a line. */
  const waiting: Buffer[] = [];
  let waitingBytes = 0;
  let dropped = 0;
  /** Of those, how many the log was told of. */
  let told = 0;
  let trouble: string | undefined;
  /** The last line was cut in the middle: the next one is not to go on from there. */
  let torn = false;
  let timer: NodeJS.Timeout | undefined;

  function drop(why: string): void {
    dropped++;
    trouble = why;
  }

  function enqueue(line: Buffer, first = false): void {
    if (first) waiting.unshift(line);
    else waiting.push(line);
    waitingBytes += line.length;
  }

  /** Writes the first that waits. @returns false: it waits on */
  function writeFirst(): boolean {
    const first = waiting.shift() as Buffer;
    waitingBytes -= first.length;
    const line = torn ? Buffer.concat([Buffer.from('\n'), first]) : first;
    for (let at = 0; at < line.length; ) {
      try {
        const written = writable(fd) ? write(fd, line.subarray(at, at + PIECE)) : 0;
        at += written;
        if (written > 0) torn = false;
        else return wait(line.subarray(at));
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException;
        if (code === 'EAGAIN' || code === 'EINTR') return wait(line.subarray(at));
        torn ||= at > 0;
        drop(code === 'ENOSPC' ? 'no space is left' : code === 'EPIPE' ? 'the reader is gone' : message);
        return true;
      }
    }
    trouble = undefined;
    if (dropped > told) enqueue(lossOf(dropped - told), true);
    told = dropped;
    return true;
  }

  function wait(rest: Buffer): false {
    // A newline that was put before it is no part of it.
    enqueue(torn ? rest.subarray(1) : rest, true);
    return false;
  }

  /** @returns whether nothing waits any more */
  function flush(): boolean {
    while (waiting.length > 0) if (!writeFirst()) return false;
    return true;
  }

  function retry(): void {
    timer = flush() ? undefined : setTimeout(retry, retryMs).unref();
  }

  return {
    write(text) {
      const line = Buffer.from(text);
      if (waiting.length > 0 && waitingBytes + line.length > room) return drop('nobody reads it');
      enqueue(line);
      if (timer === undefined) retry();
    },
    get dropped() {
      return dropped;
    },
    get trouble() {
      return trouble;
    },
    close(ms = CLOSE_MS) {
      clearTimeout(timer);
      timer = undefined;
      const until = performance.now() + ms;
      const cell = new Int32Array(new SharedArrayBuffer(4));
      while (!flush() && performance.now() < until) Atomics.wait(cell, 0, 0, 10);
    },
  };
}

/** What the log says of lines that it lost. */
function lossOf(lines: number): Buffer {
  const time = new Date().toISOString();
  return Buffer.from(`${JSON.stringify({ level: 40, time, lost: lines, msg: 'lines of the log were lost' })}\n`);
}
