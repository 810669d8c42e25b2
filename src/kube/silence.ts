/**
 * A server that says nothing is asked something small, and given up when it does not answer: as client-go's pings of
 * HTTP/2 have it, after 30 s and 15 s.
 */
import { sleep } from './backoff.ts';
import type { ApiClient } from './client.ts';

export interface SilenceOptions {
  /** Milliseconds without a word after which the server is asked. */
  readonly silentMs: number;
  /** Milliseconds that it has to answer. */
  readonly answerMs: number;
}

/** What everybody may ask, and no server has to think about. */
const QUESTION = '/version';

/** Runs until the signal aborts. */
export async function endSilence(client: ApiClient, options: SilenceOptions, signal: AbortSignal): Promise<void> {
  const { silentMs, answerMs } = options;
  let asked = performance.now();
  while (!signal.aborted) {
    const left = Math.max(client.lastHeard, asked) + silentMs - performance.now();
    if (left > 0) {
      await sleep(left, signal);
      continue;
    }
    asked = performance.now();
    try {
      const { body } = await client.get(QUESTION, {}, { signal, inactivityMs: answerMs });
      body.resume();
    } catch (error) {
      if (!signal.aborted) client.cut(`the server is silent: ${(error as Error).message}`);
    }
  }
}
