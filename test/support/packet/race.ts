/** Runs a program on frames of several threads at once. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

/**
 * @param frames for each thread, one frame a round; all threads have as many.
 * @returns the frames afterwards, by thread.
 */
export async function race(program: number, frames: readonly (readonly Buffer[])[]): Promise<Buffer[][]> {
  const gate = new SharedArrayBuffer(4);
  const workers = frames.map((mine) => {
    const workerData = { program, frames: mine, threads: frames.length, gate };
    return new Worker(new URL('./race-worker.mjs', import.meta.url), { workerData });
  });
  return Promise.all(
    workers.map(async (worker) => {
      const [results] = (await once(worker, 'message')) as [Uint8Array[]];
      await worker.terminate();
      return results.map((bytes) => Buffer.from(bytes));
    }),
  );
}
