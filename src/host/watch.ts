/**
 * Follows changes of devices, addresses and routes. `ip monitor` is only the trigger (its JSON is
 * not dependable): after each burst of its lines everything is read anew. A look now and then
 * repairs what a trigger missed, and finds what has none: ports that were reserved.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { isDeepStrictEqual } from 'node:util';
import { delay } from '../model/delay.ts';
import { readHost } from './read.ts';
import type { HostState } from './state.ts';

export interface WatchOptions {
  /** Milliseconds of silence that end a burst. Default 30. */
  readonly settle?: number;
  /** Milliseconds after which even an endless burst is looked at. Default 250. */
  readonly patience?: number;
  /** Milliseconds between looks without a trigger. Default 30 000. */
  readonly rescan?: number;
  /** Told what went wrong; the watch goes on. */
  readonly onProblem?: (message: string) => void;
}

/** Ends with this process, however that ends; no shell is needed for it. */
const MONITOR = ['--pdeathsig', 'KILL', 'ip', '-o', 'monitor', 'link', 'address', 'route'];

/** Milliseconds before a look that failed is tried again. */
const AGAIN_MS = 1000;

/** Milliseconds before a monitor that died is started again: doubled each time, up to the last. */
const BACKOFF = [100, 10_000] as const;

/**
 * Calls `onChange` with the state at the start, after each burst of events (routes that are no
 * part of the state may have changed), and when a look without a trigger finds another state.
 *
 * @returns when the signal aborts and the monitor has ended; never rejects.
 */
export async function watchHost(
  onChange: (host: HostState) => void,
  signal: AbortSignal,
  options: WatchOptions = {},
): Promise<void> {
  const look = createLook(onChange, signal, options);
  const rescan = setInterval(() => look.soon(false), options.rescan ?? 30_000);
  let wait: number = BACKOFF[0];
  while (!signal.aborted) {
    const started = Date.now();
    await monitor(look, signal, options);
    if (signal.aborted) break;
    options.onProblem?.(`watch network devices: ip monitor ended; starting it again in ${wait} ms`);
    await delay(wait, signal);
    wait = Date.now() - started > 60_000 ? BACKOFF[0] : Math.min(wait * 2, BACKOFF[1]);
  }
  clearInterval(rescan);
  await look.idle();
}

async function monitor(look: Look, signal: AbortSignal, options: WatchOptions): Promise<void> {
  const child = spawn('setpriv', MONITOR, { stdio: ['ignore', 'pipe', 'ignore'] });
  const stop = () => child.kill('SIGKILL');
  child.on('error', (error) => options.onProblem?.(`watch network devices: ${error.message}`));
  child.stdout.on('data', () => look.soon(true));
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  // What changed before the monitor listened gave no trigger.
  look.soon(false);
  const early = setTimeout(() => look.soon(false), 250);
  await once(child, 'close').catch(() => {});
  clearTimeout(early);
  signal.removeEventListener('abort', stop);
}

interface Look {
  /** Looks once things have settled; `tell`: report even an equal state. */
  soon(tell: boolean): void;
  /** Resolves when no look is under way. */
  idle(): Promise<void>;
}

function createLook(onChange: (host: HostState) => void, signal: AbortSignal, options: WatchOptions): Look {
  const { settle = 30, patience = 250 } = options;
  let last: HostState | undefined;
  let timer: NodeJS.Timeout | undefined;
  let firstAsked = 0;
  let tellNext = false;
  let running = Promise.resolve();

  const look = async (): Promise<void> => {
    timer = undefined;
    if (signal.aborted) return;
    const tell = tellNext;
    tellNext = false;
    try {
      const state = await readHost(signal);
      if (signal.aborted || (!tell && isDeepStrictEqual(state, last))) return;
      last = state;
      onChange(state);
    } catch (error) {
      if (signal.aborted) return;
      tellNext ||= tell;
      options.onProblem?.((error as Error).message);
      // What changed is not known yet: not only at the next look without a trigger.
      setTimeout(() => soon(tell), AGAIN_MS).unref();
    }
  };
  const soon = (tell: boolean): void => {
    if (signal.aborted) return;
    tellNext ||= tell;
    const now = Date.now();
    if (timer === undefined) firstAsked = now;
    else clearTimeout(timer);
    timer = setTimeout(
      () => {
        running = running.then(look);
      },
      Math.max(0, Math.min(settle, firstAsked + patience - now)),
    );
  };
  signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
  return { soon, idle: () => running };
}
