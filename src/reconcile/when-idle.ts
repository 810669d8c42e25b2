/** Work that holds everything up, done once, when nothing is going on. */

/**
 * @param work called once, after the returned function was not called for `idleMs` milliseconds; call it for each
 *   change. While changes never cease it is not called, and the process does not stay for it.
 */
export function onceIdle(work: () => void, idleMs: number): () => void {
  let timer: NodeJS.Timeout | undefined;
  let done = false;
  return () => {
    if (done) return;
    if (timer !== undefined) {
      timer.refresh();
      return;
    }
    timer = setTimeout(() => {
      done = true;
      work();
    }, idleMs).unref();
  };
}
