/** Tells that something in a set of directories changed: at once where the kernel says so, at an interval in any case. */
import { type FSWatcher, watch } from 'node:fs';

export interface DirectoryWatchOptions {
  /** Quiet time after a change before it is told, in ms: files are written in steps. */
  readonly settleMs: number;
  /** A directory that never is quiet is told of after so long, in ms. */
  readonly maxSettleMs: number;
  /** Told at this interval even without a change, in ms: some file systems tell nothing. */
  readonly rescanMs: number;
}

export interface DirectoryWatch {
  /**
   * Watches exactly these directories (path to identity) from now on. A directory that is new to the
   * watch counts as changed: what happened in it before was not seen.
   */
  set(directories: ReadonlyMap<string, string>): void;
  /** Resolves at a change since the last call returned, at the interval, or when the signal aborts. */
  next(signal: AbortSignal): Promise<void>;
  close(): void;
}

export function createDirectoryWatch(options: DirectoryWatchOptions): DirectoryWatch {
  const watchers = new Map<string, { watcher: FSWatcher; identity: string }>();
  /** When the first and the last change not yet told happened, in ms. */
  let changes: { first: number; last: number } | undefined;
  let wake: () => void = () => {};

  function changed(): void {
    const now = performance.now();
    if (changes === undefined) {
      changes = { first: now, last: now };
      wake();
    } else changes.last = now;
  }

  function add(directory: string, identity: string): void {
    try {
      const watcher = watch(directory, { persistent: false }, changed);
      watcher.on('error', () => drop(directory));
      watchers.set(directory, { watcher, identity });
      changed();
    } catch {
      // No watch left, or the directory is gone: the interval remains.
    }
  }

  function drop(directory: string): void {
    watchers.get(directory)?.watcher.close();
    watchers.delete(directory);
  }

  /** How long to wait from now on; 0: tell. */
  function remaining(startedAt: number): number {
    const now = performance.now();
    if (changes === undefined) return Math.max(startedAt + options.rescanMs - now, 0);
    return Math.max(Math.min(changes.last + options.settleMs, changes.first + options.maxSettleMs) - now, 0);
  }

  return {
    set(directories) {
      for (const [directory, { identity }] of [...watchers]) {
        if (directories.get(directory) !== identity) drop(directory);
      }
      for (const [directory, identity] of directories) if (!watchers.has(directory)) add(directory, identity);
    },
    next(signal) {
      const startedAt = performance.now();
      return new Promise((resolve) => {
        let timer: NodeJS.Timeout;
        const finish = () => {
          clearTimeout(timer);
          signal.removeEventListener('abort', finish);
          changes = undefined;
          wake = () => {};
          resolve();
        };
        const step = () => {
          clearTimeout(timer);
          const ms = remaining(startedAt);
          if (ms === 0 || signal.aborted) finish();
          else timer = setTimeout(step, Math.ceil(ms));
        };
        signal.addEventListener('abort', finish);
        wake = step;
        timer = setTimeout(step, 0);
      });
    },
    close() {
      for (const directory of [...watchers.keys()]) drop(directory);
    },
  };
}
