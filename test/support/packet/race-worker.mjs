/**
 * A thread that runs a program on many frames, each at the same time as the other threads' frame.
 * workerData: `program` (descriptor), `frames`, `threads` (how many take part), and `gate`, one
 * counter of the threads that have come to the start of each round so far.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { tsImport } from 'tsx/esm/api';

const { testRun } = await tsImport('../../../src/bpf/test-run.ts', import.meta.url);
const { program, frames, threads, gate } = workerData;
const arrivals = new Int32Array(gate);
const results = frames.map((bytes, round) => {
  const data = Buffer.from(bytes);
  Atomics.add(arrivals, 0, 1);
  while (Atomics.load(arrivals, 0) < threads * (round + 1));
  return testRun(program, { data }).data;
});
parentPort.postMessage(results);
