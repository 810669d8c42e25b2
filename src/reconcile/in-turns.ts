/** Long work in turns, so that the event loop answers probes, follows watches and hears signals meanwhile. */
import { setImmediate as nextTurn } from 'node:timers/promises';

/** Milliseconds that one turn may take; its last step may end later. */
const TURN_MS = 5;

/**
 * Runs steps to their end, some milliseconds in a row, with a turn of the event loop between.
 * @returns what the steps return. Rejects with what a step throws, and with the signal's reason when it aborts: the
 *   steps are left where they are then.
 */
export async function inTurns<T>(steps: Generator<unknown, T>, signal?: AbortSignal, turnMs = TURN_MS): Promise<T> {
  for (let until = performance.now() + turnMs; ; ) {
    const step = steps.next();
    if (step.done) return step.value;
    if (performance.now() < until) continue;
    await nextTurn();
    signal?.throwIfAborted();
    until = performance.now() + turnMs;
  }
}
