/** Why a request to the API server did not do what it was for. */
import type { ApiResponse } from './client.ts';

export class RequestFault extends Error {
  /** HTTP status; undefined when no response came. */
  readonly status: number | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(message: string, status?: number, retryAfterMs?: number, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'RequestFault';
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

const MAX_ERROR_BODY = 64 * 1024;

/** Reads the Status object of a refused request. Never rejects. */
export async function faultOf(response: ApiResponse): Promise<RequestFault> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > MAX_ERROR_BODY) break;
      chunks.push(chunk);
    }
  } catch {
    // The status line says enough.
  }
  const message = statusMessage(Buffer.concat(chunks).toString('utf8'));
  return new RequestFault(
    `HTTP ${response.status}${message ? `: ${message}` : ''}`,
    response.status,
    response.retryAfterMs,
  );
}

function statusMessage(body: string): string {
  try {
    const status: unknown = JSON.parse(body);
    const message = (status as { message?: unknown } | null)?.message;
    if (typeof message === 'string') return message.slice(0, 500);
  } catch {
    // Not a Status: a proxy's page, perhaps.
  }
  return body.slice(0, 200).trim();
}

/** Any thrown value as a fault; errors of the network get their code in the message. */
export function toFault(error: unknown): RequestFault {
  if (error instanceof RequestFault) return error;
  if (error instanceof AggregateError && error.errors[0] instanceof Error) return toFault(error.errors[0]);
  const message =
    error instanceof Error ? error.message || (error as NodeJS.ErrnoException).code || error.name : String(error);
  return new RequestFault(message, undefined, undefined, { cause: error });
}
