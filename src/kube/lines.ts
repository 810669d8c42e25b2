/**
 * Splits a byte stream at newlines. Bytes, not text, are split: 0x0a is never part of a multibyte
 * UTF-8 character, so a line is decoded only when it is whole.
 */

export interface LineSplitter {
  /**
   * @returns the lines that this chunk completes, without their newline, empty lines left out
   * @throws LineTooLongError when an unfinished line grows past the limit
   */
  push(chunk: Buffer): string[];
}

export class LineTooLongError extends Error {
  constructor(limit: number) {
    super(`a line is longer than ${limit} bytes`);
    this.name = 'LineTooLongError';
  }
}

const NEWLINE = 0x0a;

/** @param limit longest line in bytes */
export function createLineSplitter(limit: number): LineSplitter {
  let pending: Buffer[] = [];
  let pendingBytes = 0;

  return {
    push(chunk) {
      const lines: string[] = [];
      let start = 0;
      for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
        if (pendingBytes + end - start > limit) throw new LineTooLongError(limit);
        if (pendingBytes > 0) {
          pending.push(chunk.subarray(start, end));
          lines.push(Buffer.concat(pending, pendingBytes + end - start).toString('utf8'));
          pending = [];
          pendingBytes = 0;
        } else if (end > start) {
          lines.push(chunk.toString('utf8', start, end));
        }
        start = end + 1;
      }
      if (start < chunk.length) {
        pendingBytes += chunk.length - start;
        if (pendingBytes > limit) throw new LineTooLongError(limit);
        pending.push(chunk.subarray(start));
      }
      return lines;
    },
  };
}
