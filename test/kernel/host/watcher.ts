/** Runs inside a network namespace: prints each state that watchHost reports as one line of JSON. */
import { watchHost } from '../../../src/host/watch.ts';

const stop = new AbortController();
process.on('SIGTERM', () => stop.abort());
const print = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`);

await watchHost((host) => print({ host }), stop.signal, {
  rescan: Number(process.argv[2]),
  onProblem: (problem) => print({ problem }),
});
print({ ended: true });
