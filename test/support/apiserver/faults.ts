/** Trouble on request. */
import { ApiError, expired } from './errors.ts';
import type { RequestInfo, Verb } from './request.ts';
import { resourceName } from './resources.ts';
import type { Stream } from './stream.ts';
import { errorEvent } from './watch.ts';

export interface RequestMatch {
  readonly verb?: Verb;
  /** e.g. `services` */
  readonly resource?: string;
}

export interface RequestFault extends RequestMatch {
  /** HTTP status to answer with; undefined: no answer ever. */
  readonly status: number | undefined;
  readonly retryAfterSeconds?: number;
  /** With status 200: what the answer is, in place of what was asked for. */
  readonly body?: string;
}

export interface Faults {
  /** Ends the watches as a server does at their time-out. @returns how many */
  closeWatches(resource?: string): number;
  /** Cuts the connections of the watches. */
  resetWatches(resource?: string): number;
  /** Sends an ERROR event with 410 and ends. */
  expireWatches(resource?: string): number;
  /** Sends an ERROR event with any code and ends. */
  failWatches(code: number, resource?: string): number;
  /** The watches stay open and say nothing any more. */
  stallWatches(resource?: string): number;
  /** The server says nothing any more, to nobody, and keeps every connection; until `thaw`. */
  freeze(): void;
  /** It answers again what is asked from now on. */
  thaw(): void;
  /** Puts bytes into the watches. */
  writeWatches(bytes: string | Buffer, resource?: string): number;
  sendBookmarks(resource?: string): number;
  /** Every version so far is too old to watch from; continue tokens expire. */
  compact(): void;
  /** The next `count` requests that match are answered so. */
  failRequests(count: number, fault: RequestFault): void;
  /** Ends every fault of failRequests. */
  clear(): void;
  /** Watches write in pieces of so many bytes; undefined: whole. */
  splitWrites(bytes: number | undefined): void;
}

export interface FaultState extends Faults {
  readonly streams: Set<Stream>;
  readonly pieceBytes: number | undefined;
  readonly frozen: boolean;
  /** The fault that this request meets, counted down. */
  meet(info: RequestInfo): RequestFault | undefined;
}

export function createFaults(compact: () => void): FaultState {
  const streams = new Set<Stream>();
  let pending: { left: number; fault: RequestFault }[] = [];
  let pieceBytes: number | undefined;
  let frozen = false;

  function each(resource: string | undefined, action: (stream: Stream) => void): number {
    const chosen = [...streams].filter((stream) => resource === undefined || stream.resource === resource);
    for (const stream of chosen) action(stream);
    return chosen.length;
  }

  function endWith(error: ApiError): (stream: Stream) => void {
    return (stream) => {
      stream.write(errorEvent(error));
      stream.end();
    };
  }

  return {
    streams,
    get pieceBytes() {
      return pieceBytes;
    },
    get frozen() {
      return frozen;
    },
    freeze() {
      frozen = true;
      each(undefined, (stream) => stream.stall());
    },
    thaw() {
      frozen = false;
    },
    closeWatches: (resource) => each(resource, (stream) => stream.end()),
    resetWatches: (resource) => each(resource, (stream) => stream.reset()),
    expireWatches: (resource) => each(resource, endWith(expired('too old resource version'))),
    failWatches: (code, resource) => each(resource, endWith(new ApiError(code, 'InternalError', 'injected fault'))),
    stallWatches: (resource) => each(resource, (stream) => stream.stall()),
    writeWatches: (bytes, resource) => each(resource, (stream) => stream.write(bytes)),
    sendBookmarks: (resource) => each(resource, (stream) => stream.bookmark?.()),
    compact,
    failRequests(count, fault) {
      pending.push({ left: count, fault });
    },
    clear() {
      pending = [];
    },
    splitWrites(bytes) {
      pieceBytes = bytes;
    },
    meet(info) {
      const entry = pending.find(
        ({ left, fault }) =>
          left > 0 &&
          (fault.verb === undefined || fault.verb === info.verb) &&
          (fault.resource === undefined || fault.resource === resourceName(info.resource)),
      );
      if (entry) entry.left--;
      return entry?.fault;
    },
  };
}
