/** Work in steps, that may be paused between two of them. */

/** Runs steps to their end at once. */
export function atOnce<T>(steps: Generator<unknown, T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}
