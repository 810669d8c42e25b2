/** Work that holds everything up, done once, when nothing is going on. */

/**
 * @param work called once, after the returned function was not called for `idleMs` milliseconds, or `atMostMs` after
 *   its first call when changes never cease; call it for each change. The process does not stay for it.
 */
export function onceIdle(work: () => void, idleMs: number, atMostMs: number): () => void {
  let idle: NodeJS.Timeout | undefined;
  let latest: NodeJS.Timeout | undefined;
  let done = false;

  function run(): void {
    done = true;
    clearTimeout(idle);
    clearTimeout(latest);
    work();
  }

  return () => {
    if (done) return;
    latest ??= setTimeout(run, atMostMs).unref();
    if (idle === undefined) idle = setTimeout(run, idleMs).unref();
    else idle.refresh();
  };
}
